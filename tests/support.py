"""What several test files share: pictures and networks made by arithmetic, traces, refusals, commands, servers."""

import io
import json
import math
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mbtref.errors import BitstreamError, Kind
from mbtref.exact import EntropyNetworks
from mbtref.image import Image
from mbtref.networks import MBT2018
from mbtref.suite.subjects.trace import Trace, trace
from mbtref.workbench import cli, picturefiles
from mbtref.workbench.records import Record

ROOT = Path(__file__).parent.parent
"""The project's folder."""
RECORD = Record(
    image="a.png", model="lite-q3", fingerprint="0f", pixels="ab", height=200, width=300, psnr=30.5,
    psnr_8bit=math.inf, msssim=0.98, bpp_y=0.3, bpp_z=0.1, bpp_theoretical=0.4, bpp_buffer_raw=4.2,
    bpp_buffer_zlib=0.9, drift_buffer=0.0, psnr_bitstream=30.0, psnr_bitstream_8bit=29.9, msssim_bitstream=None,
    bpp_bitstream=0.41, symbols_equal=True, encode_seconds=0.1, decode_seconds=0.2,
)  # fmt: skip
"""A record of an evaluation, made up."""
NETWORK = "network.json"
"""The log of the browser's requests, in its profile."""


def picture(height: int, width: int) -> Image:
    """A smooth picture with an edge across it, each channel another one."""
    row, column = np.indices((height, width))
    edge = 60 * (row + 2 * column > (height + 2 * width) // 2)
    channels = [40 + row * 3 // 2 % 128 + edge, 200 - column % 128 - edge, (row * column // 32 + 80) % 200]
    pixels: Image = np.stack(channels, -1).astype(np.uint8)
    return pixels


def write_png(path: Path, image: Image) -> None:
    """Writes a picture as a PNG file."""
    path.write_bytes(picturefiles.png(image))


def saved(content: object, **options: Any) -> bytes:
    """The bytes of `torch.save`."""
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def varied_networks(N: int, M: int, seed: int = 0) -> MBT2018:
    """Networks whose every parameter is random, scaled so that latents, scales and means really vary.

    PyTorch's own initial weights give latents that all round to zero, which would prove nothing.
    """
    networks = MBT2018(N, M)
    random = torch.Generator().manual_seed(seed)
    gains = {"g_a.6": 6.0, "h_a.4": 3.0, "entropy_parameters.4": 2.0} | dict.fromkeys(
        ("g_s.0", "g_s.2", "g_s.4"), 0.4
    )
    with torch.no_grad():
        for name, parameter in networks.named_parameters():
            layer, _, kind = name.rpartition(".")
            noise = torch.randn(parameter.shape, generator=random)
            if name.startswith("entropy_bottleneck.biases"):
                parameter.copy_(0.3 * noise)
            elif name.startswith("entropy_bottleneck"):
                parameter.add_(0.3 * noise)
            elif kind == "beta":
                parameter.copy_((1 + 0.3 * noise.abs()).sqrt())
            elif kind == "gamma":
                parameter.copy_((0.2 * torch.eye(N) + 0.1 * noise.abs() / N).sqrt())
            elif kind == "bias":
                parameter.copy_(0.1 * noise)
            else:
                # a transposed convolution has its inputs first; of its taps a fourth meets an output
                fan_in = noise[:, 0].numel() / 4 if layer in UPSAMPLING else noise[0].numel()
                parameter.copy_(gains.get(layer, 1.4) * noise / fan_in**0.5)
        # scales around 2
        networks.get_parameter("entropy_parameters.4.bias")[:M].add_(2)
    return networks.eval().requires_grad_(False)


UPSAMPLING = ("g_s.0", "g_s.2", "g_s.4", "g_s.6", "h_s.0", "h_s.2")


def scanned(networks: EntropyNetworks, z_hat: Tensor, k: Tensor) -> Trace:
    """A scan with symbols known beforehand. z_hat: (B, h, w, N) grid units; k: (B, 4h, 4w, M) float64 integers."""
    return trace(networks, z_hat, lambda step: step.y_hat(step.of(k)))


@contextmanager
def refused(kind: Kind, offset: int) -> Iterator[None]:
    """Asserts that the block raises BitstreamError with this kind and byte offset, and says both."""
    with pytest.raises(BitstreamError) as caught:
        yield
    found = (caught.value.kind, caught.value.offset)
    assert found == (kind, offset), f"expected {kind} at byte {offset}, got: {caught.value}"
    assert str(caught.value).startswith(f"{kind.value} at byte {offset}: "), f"an error reads {caught.value}"


def child(
    *arguments: object, folder: Path | None = None, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A finished process of Python that finds this project. more: added to its environment."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **(more or {})}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def output_of(*arguments: object, folder: Path | None = None, more: Mapping[str, str] | None = None) -> str:
    """What such a process prints. Asserts that it succeeds."""
    done = child(*arguments, folder=folder, more=more)
    assert done.returncode == 0, f"a child process ended with {done.returncode}:\n{done.stderr}"
    return done.stdout


def records(path: Path) -> list[dict[str, Any]]:
    """The records in a file of `mbtref eval`."""
    found: list[dict[str, Any]] = json.loads(path.read_text())["records"]
    return found


def pytest_in(folder: Path, *options: str, path: str) -> tuple[int, str]:
    """The exit status of pytest in a folder, and what it says. path: PYTHONPATH."""
    more = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = child("-m", "pytest", "-p", "no:cacheprovider", *options, folder=folder, more=more)
    return done.returncode, done.stdout + done.stderr


def run(*arguments: object) -> int:
    """The exit status of one command."""
    return cli.main([str(a) for a in arguments])


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed as an error, checked to be one line."""
    text = capsys.readouterr().err
    assert text.count("\n") == 1, f"an error is one line, this is {text!r}"
    assert "Traceback" not in text, f"a user's mistake showed a traceback: {text}"
    return text


class Terminal:
    """Runs commands and reads what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def ends(self, status: int, *arguments: object) -> tuple[str, str]:
        """What a command prints on stdout and stderr. Asserts its exit status."""
        self._capsys.readouterr()
        found = run(*arguments)
        out, error = self._capsys.readouterr()
        assert found == status, f"{arguments} should end with status {status}, not {found}: {error}"
        return out, error

    def prints(self, *arguments: object) -> str:
        """What a command prints on stdout. Asserts that it succeeds."""
        return self.ends(0, *arguments)[0]

    def fails(self, status: int, words: str, *arguments: object) -> str:
        """The line with which a command fails. Asserts that it is the only one, and holds these words.

        Beside it there may be lines of progress.
        """
        error = re.sub(r"mbtref: \d+ of \d+ pictures .*\n", "", self.ends(status, *arguments)[1])
        assert error.count("\n") == 1, f"an error of {arguments} is one line, this is {error!r}"
        assert words in error, f"{arguments}: the line doesn't say {words!r}: {error}"
        return error


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(handler: Path | type[BaseRequestHandler]) -> Iterator[str]:
    """Serves a folder, or what a handler gives, on this machine. Gives the URL."""
    answer = partial(QuietHandler, directory=str(handler)) if isinstance(handler, Path) else handler
    with ThreadingTCPServer(("127.0.0.1", 0), answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def emulate(browser: Any, width: int, scheme: str) -> None:
    """Sets the width in CSS pixels and the preferred colour scheme."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme_feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme_feature]})
