"""Exported networks as a subject, `--subject onnx:DIR`: the files of `mbtref export`, run by onnxruntime.

    DIR/lite-q4/g_a.onnx  h_a.onnx  g_s.onnx    float32
                h_s.onnx                        k_z -> z_hat, psi
                parameters.onnx                 k_z, y_hat -> z_hat, psi, phi, sigma, mu, index, teacher-forced
                step.onnx                       psi, context -> phi, sigma, mu, index at P positions

The networks are the files'; the traversal, the entropy coder and the tables are the reference's. Any file may be
somebody else's; the exact ones need these names of inputs and outputs. An operation whose file is missing is
unsupported, not wrong.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mbtref import BitstreamError, bitstream, planes, rans
from mbtref.exact import CONTEXT_TAPS, REACH
from mbtref.grid import ACTIVATION_BITS, LIMIT, ONE
from mbtref.scan import wavefronts
from mbtref.suite.operations import Values
from mbtref.suite.subjects.protocol import Methods, Rejected, Unsupported
from mbtref.suite.subjects.reference import load
from mbtref.suite.subjects.tensors import F32, I32, U8
from mbtref.tables import z_indexes

FINGERPRINT = "mbtref.fingerprint"
"""The key of the model's fingerprint, in hexadecimal digits, in a file's metadata. Others' files may lack it."""
SUFFIX = ".onnx"

I64 = npt.NDArray[np.int64]
Choose = Callable[[I64, I64, I32, I32], I64]
"""From rows and columns, (P,) each, mu in grid units and index, (P, M) each, to y_hat in grid units, (P, M)."""


def symbols(differences: npt.NDArray[np.integer[Any]]) -> I64:
    """The nearest whole symbols, a half up. differences: in grid units."""
    return (differences.astype(np.int64) + ONE // 2) >> ACTIVATION_BITS


def units(latent: F32) -> I64:
    """Float latents in grid units, rounded down and saturated."""
    return np.floor(np.clip(latent.astype(np.float64) * ONE, -LIMIT, LIMIT - 1)).astype(np.int64)


def latents(k: I64, mu: I32) -> I64:
    """saturate(k + mu). k: symbols. mu: grid units. Returns grid units."""
    units: I64 = np.clip(k * ONE + mu, -LIMIT, LIMIT - 1)
    return units


class Exported:
    """The files of one model. Each is loaded when it is first used.

    folder: of the files. model: its name. Raises ValueError if onnxruntime isn't installed.
    """

    def __init__(self, folder: Path, model: str) -> None:
        reference = load(model)
        self.folder, self.fingerprint, self.tables = folder, reference.fingerprint, reference.tables
        self.N = reference.networks.N
        self.session = functools.cache(self._session)

    def _session(self, name: str) -> Any:
        """A file, ready to run. Raises Unsupported if it isn't there, ValueError if it is another model's."""
        path = self.folder / f"{name}{SUFFIX}"
        if not path.is_file():
            raise Unsupported(f"{path} isn't there")
        options = runtime().SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = runtime().InferenceSession(path, options, providers=["CPUExecutionProvider"])
        said = session.get_modelmeta().custom_metadata_map.get(FINGERPRINT)
        if said not in (None, self.fingerprint.hex()):
            raise ValueError(f"{path} is of model {said}, not {self.fingerprint.hex()}: export it again")
        return session

    def transform(self, name: str, values: F32) -> F32:
        """g_a, h_a or g_s. Input and output may have any name. Both have no batch axis."""
        session = self.session(name)
        result: F32 = session.run(None, {session.get_inputs()[0].name: values[None]})[0][0]
        return result

    def exact(self, name: str, **inputs: I32) -> dict[str, I32]:
        """The outputs of an exact graph by name."""
        session = self.session(name)
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs), strict=True))

    def whole(self, name: str, **inputs: I32) -> dict[str, I32]:
        """The same for the exact graphs of a whole picture. Inputs and outputs have no batch axis."""
        outputs = self.exact(name, **{key: value[None] for key, value in inputs.items()})
        return {key: value[0] for key, value in outputs.items()}

    def scan(self, k_z: I32, choose: Choose) -> I32:
        """Visits all latents in coding order. k_z: (N, h, w). Returns y_hat, (M, 4h, 4w) grid units."""
        psi = self.whole("h_s", k_z=k_z)["psi"].transpose(1, 2, 0)
        height, width, channels = psi.shape
        bordered = np.zeros((height + REACH, width + 2 * REACH, channels // 2), np.int32)
        for places in wavefronts(height, width):
            rows, columns = (place.numpy() for place in places)
            context = np.concatenate([bordered[rows + i, columns + j] for i, j in CONTEXT_TAPS], 1)
            found = self.exact("step", psi=psi[rows, columns], context=context)
            bordered[rows + REACH, columns + REACH] = choose(rows, columns, found["mu"], found["index"])
        return bordered[REACH:, REACH:-REACH].transpose(2, 0, 1)

    def closed_loop(self, k_z: I32, y: F32) -> dict[str, I32]:
        """mu, index, k and y_hat of latents y: (M, 4h, 4w) each."""
        wanted = units(y)
        stages = {name: np.zeros(y.shape, np.int32) for name in ("mu", "index", "k")}

        def choose(rows: I64, columns: I64, mu: I32, index: I32) -> I64:
            k = symbols(wanted[:, rows, columns].T - mu)
            for name, value in (("mu", mu), ("index", index), ("k", k)):
                stages[name][:, rows, columns] = value.T
            return latents(k, mu)

        return {**stages, "y_hat": self.scan(k_z, choose)}

    def encode(self, picture: U8) -> tuple[bytes, I32]:
        """A stream and its latents, (M, 4h, 4w) grid units. picture: (H, W, 3)."""
        height, width, _ = picture.shape
        y = self.transform("g_a", planes.pad(planes.to_tensor(picture))[0].numpy())
        medians = self.whole("h_s", k_z=np.zeros((self.N, 1, 1), np.int32))["z_hat"]
        k_z = symbols(units(self.transform("h_a", y)) - medians).astype(np.int32)
        found = self.closed_loop(k_z, y)
        # in coding order
        rows, columns = (
            torch.cat(places).numpy() for places in zip(*wavefronts(y.shape[1], y.shape[2]), strict=True)
        )
        k, index = (found[name][:, rows, columns].T.ravel() for name in ("k", "index"))
        indexes = np.concatenate([z_indexes((*k_z.shape[1:], self.N)), self.N + index])
        payload = rans.encode(np.concatenate([k_z.ravel(), k]), indexes, self.tables)
        return bitstream.pack(bitstream.Stream(self.fingerprint, height, width, payload)), found["y_hat"]

    def decode(self, data: bytes) -> tuple[I32, U8]:
        """The latents of a stream, (M, 4h, 4w) grid units, and its picture. Raises Rejected, BitstreamError."""
        stream = bitstream.unpack(data)
        if stream.fingerprint != self.fingerprint:
            raise Rejected("unknown-model")
        reader = rans.Decoder(stream.payload, bitstream.HEADER_BYTES)
        shape = (self.N, *stream.z_size)
        k_z = reader.pop(z_indexes((*stream.z_size, self.N)), self.tables).reshape(shape)

        def choose(rows: I64, columns: I64, mu: I32, index: I32) -> I64:
            return latents(reader.pop(self.N + index.ravel(), self.tables).reshape(mu.shape), mu)

        y_hat = self.scan(k_z.astype(np.int32), choose)
        reader.finish()
        return y_hat, self.shown(y_hat, stream.height, stream.width)

    def shown(self, y_hat: I32, height: int, width: int) -> U8:
        """The picture of latents in grid units."""
        x_hat = self.transform("g_s", values(y_hat))[:, :height, :width]
        return planes.to_image(torch.from_numpy(x_hat))


def values(y_hat: I32) -> F32:
    """Latents in grid units as float32."""
    return (y_hat / ONE).astype(np.float32)


def runtime() -> Any:
    """onnxruntime. Raises ValueError if it isn't installed."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ValueError(f"needs {error.name}: pip install 'mbtref[onnx]'") from error
    return onnxruntime


class Onnx(Methods):
    """The models that a folder holds, a folder each.

    Raises ValueError if there are none, or if onnxruntime isn't installed.
    """

    name = "ONNX"
    capabilities = ("transforms", "entropy-exact", "decode", "encode", "roundtrip", "portable")

    def __init__(self, folder: Path) -> None:
        self.version, self.folder = runtime().__version__, folder
        self.exported = functools.cache(self._exported)
        if not any(folder.glob(f"*/*{SUFFIX}")):
            raise ValueError(
                f"{folder} holds no MODEL/*{SUFFIX}: make them with 'mbtref export MODEL -o {folder}'"
            )

    def _exported(self, model: str) -> Exported:
        """The files of a model. Raises Unsupported if there are none."""
        if not (self.folder / model).is_dir():
            raise Unsupported(f"{self.folder} holds no model {model}")
        return Exported(self.folder / model, model)

    def g_a(self, model: str, x: F32) -> Values:
        return {"y": self.exported(model).transform("g_a", x)}

    def h_a(self, model: str, y: F32) -> Values:
        return {"z": self.exported(model).transform("h_a", y)}

    def g_s(self, model: str, y_hat: F32) -> Values:
        return {"x_hat": self.exported(model).transform("g_s", y_hat)}

    def exact_parameters(self, model: str, k_z: I32, y_hat: I32) -> Values:
        return self.exported(model).whole("parameters", k_z=k_z, y_hat=y_hat)

    def exact_symbols(self, model: str, k_z: I32, y: F32) -> Values:
        return self.exported(model).closed_loop(k_z, y)

    def encode(self, model: str, image: U8) -> Values:
        return {"stream": self.exported(model).encode(image)[0]}

    def decode(self, model: str, stream: bytes) -> Values:
        try:
            y_hat, image = self.exported(model).decode(stream)
        except BitstreamError as error:
            raise Rejected(str(error.kind)) from error
        return {"y_hat": values(y_hat), "image": image}

    def compress(self, model: str, image: U8) -> Values:
        return {"blob": self.exported(model).encode(image)[0]}

    def reconstruct(self, model: str, image: U8) -> Values:
        _, y_hat = self.exported(model).encode(image)
        return {"y_hat": values(y_hat), "image": self.exported(model).shown(y_hat, *image.shape[:2])}

    def decompress(self, model: str, blob: bytes) -> Values:
        return self.decode(model, blob)
