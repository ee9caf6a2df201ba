"""On a GPU: the results of a CPU, and no copy that isn't needed. Without one, it is pretended."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from mbtref import Model, codec, modelfile
from mbtref.model import parse
from mbtref.suite.subjects.loading import in_process
from mbtref.suite.subjects.reference import load
from mbtref.suite.vectors import Vector, frozen
from mbtref.workbench.evaluate import measure_batch
from tests.pretended import GPU, Pretended, pretended_gpu
from tests.support import picture

PICTURES = [picture(64, 64), picture(64, 64)[::-1].copy()]
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="not run: this machine has no CUDA device")
KINDS = [pytest.param(pretended_gpu, id="pretended"), pytest.param(nullcontext, id="real", marks=NO_GPU)]


@pytest.fixture(params=KINDS)
def gpu(request: pytest.FixtureRequest) -> Iterator[Pretended | None]:
    """A GPU. Models of the pretended one must not outlive it."""
    with request.param() as found:
        yield found
    load.cache_clear()


def model_there() -> Model:
    return parse("lite-q4", modelfile.embedded("lite-q4"), GPU)


def test_the_results_of_a_cpu(gpu: Pretended | None, lite: Model) -> None:
    """Latents are a CPU's, alone and together; with reproducible transforms so are bytes and pixels."""
    plain = model_there()
    here, there = lite.made_reproducible(), plain.made_reproducible()
    streams = codec.encode_batch(here, PICTURES)
    assert codec.encode_batch(there, PICTURES) == streams, "other bytes"
    shown = zip(codec.decode_batch(there, streams), codec.decode_batch(here, streams), strict=True)
    assert all(np.array_equal(*pair) for pair in shown), "other pixels"
    latents = codec.decode_latents(plain, streams).cpu()
    assert torch.equal(latents, codec.decode_latents(lite, streams)), "other latents"
    alone = [codec.encode(plain, one) for one in PICTURES]
    assert codec.encode_batch(plain, PICTURES) == alone, "a stream depends on its batch"
    named = [(one, "a.png") for one in PICTURES]
    for found, due in zip(measure_batch(plain, named), measure_batch(lite, named), strict=True):
        assert found.record.symbols_equal, "encoder and decoder differ"
        assert found.record.psnr == pytest.approx(due.record.psnr, abs=1e-3), "another forward pass"


def test_what_is_copied() -> None:
    """An encoder waits for the GPU a few times in all; a decoder once in a step, for all pictures of a batch."""

    def copies(call: Callable[..., object], *given: object) -> tuple[int, int]:
        device.up = device.down = 0
        call(*given)
        return device.up, device.down

    with pretended_gpu() as device:
        model, wide = model_there(), picture(64, 128)
        few = copies(codec.encode, model, PICTURES[0])
        assert few == copies(codec.encode, model, wide) < (6, 6), f"{few}, and other ones for more latents"
        streams = codec.encode_batch(model, PICTURES)
        one = copies(codec.decode_latents, model, streams[:1])
        assert one == copies(codec.decode_latents, model, streams) < (17, 17), (
            f"13 steps have {one}, or more for two"
        )
        four_steps_more = tuple(4 + count for count in one)
        found = copies(codec.decode_latents, model, [codec.encode(model, wide)])
        assert found == four_steps_more, f"17 steps have {found}, 13 have {one}"


VECTORS = {v.operation: v for v in reversed(frozen().vectors) if v.rejected is None}
"""A question of each operation."""


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())
def test_the_reference_answers(gpu: Pretended | None, vector: Vector) -> None:
    """As a subject, the reference answers each question as on a CPU: floats nearly, all else in every bit."""
    subjects = [in_process(given) for given in (f"reference@{GPU}", "reference")]
    assert subjects[0].version.startswith(f"{subjects[1].version} on {GPU}, "), "a report doesn't name the GPU"
    there, here = (each.call(vector.operation, vector.model, vector.inputs) for each in subjects)
    for name, due in here.items():
        if vector.operation == "decode" or getattr(due, "dtype", None) == np.float32:
            assert np.allclose(np.float64(there[name]), due, atol=name == "image"), f"{name} differs"
        else:
            assert np.array_equal(there[name], due), f"{name} differs"
