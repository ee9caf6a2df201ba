"""One table of the questions to a subject: operations, their arguments and their answers.

An operation is one stage of mbt2018, fed with golden inputs (teacher-forced), or a whole path that also gives its
stages. The suite checks an answer against this table before it compares values: an extra array, a wrong shape or
dtype, or a NaN is a fault of its own.

Letters stand for sizes: H, W of the picture, padded where it is the input of a network; M, N channels of y and z;
h = H/64, w = W/64 of z; i = 4h, j = 4w of y. Arrays have no batch axis.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Value = Array | bytes
Values = Mapping[str, Value]


class Form(NamedTuple):
    """The form of a value."""

    dtype: str
    """A NumPy dtype, or "bytes"."""
    axes: str = ""
    """One letter for each axis."""


GRID = 2**10
"""Grid units in 1 (specification, §1). The suite has a constant of its own, since it checks the codec's."""
X = Form("float32", "3HW")
Y, Z = Form("float32", "Mij"), Form("float32", "Nhw")
PARAMETERS = Form("float32", "Pij")  # P = 2M
SYMBOLS_Y, SYMBOLS_Z = Form("int32", "Mij"), Form("int32", "Nhw")
"""Integers, or grid units of 2^-10."""
PARAMETERS_EXACT = Form("int32", "Pij")
IMAGE = Form("uint8", "HW3")
BYTES = Form("bytes")
LIST = Form("int32", "n")
TABLES = {"cdf": Form("int32", "TL"), "length": Form("int32", "T"), "offset": Form("int32", "T")}


class Operation(NamedTuple):
    """One question to a subject."""

    capability: str
    needs_model: bool
    inputs: Mapping[str, Form]
    outputs: Mapping[str, Form]
    """In the order of computation: the first that differs shows where the codec went wrong."""


OPERATIONS: Mapping[str, Operation] = {
    "g_a": Operation("transforms", True, {"x": X}, {"y": Y}),
    "h_a": Operation("transforms", True, {"y": Y}, {"z": Z}),
    "g_s": Operation("transforms", True, {"y_hat": Y}, {"x_hat": X}),
    "parameters": Operation(
        "entropy-float",
        True,
        {"z_hat": Z, "y_hat": Y},
        {"psi": PARAMETERS, "phi": PARAMETERS, "sigma": Y, "mu": Y},
    ),
    "forward": Operation(
        "entropy-float",
        True,
        {"x": X},
        {"z_hat": Z, "z_likelihoods": Z, "y_hat": Y, "y_likelihoods": Y, "x_hat": X},
    ),
    "gaussian_likelihoods": Operation("entropy-float", False, {"y": Y, "mu": Y, "sigma": Y}, {"y_likelihoods": Y}),
    "factorized_likelihoods": Operation("entropy-float", True, {"z_hat": Z}, {"z_likelihoods": Z}),
    "exact_parameters": Operation(
        "entropy-exact",
        True,
        {"k_z": SYMBOLS_Z, "y_hat": SYMBOLS_Y},
        {
            "z_hat": SYMBOLS_Z,
            "psi": PARAMETERS_EXACT,
            "phi": PARAMETERS_EXACT,
            "sigma": SYMBOLS_Y,
            "mu": SYMBOLS_Y,
            "index": SYMBOLS_Y,
        },
    ),
    "exact_symbols": Operation(
        "entropy-exact",
        True,
        {"k_z": SYMBOLS_Z, "y": Y},
        {"mu": SYMBOLS_Y, "index": SYMBOLS_Y, "k": SYMBOLS_Y, "y_hat": SYMBOLS_Y},
    ),
    "rans_encode": Operation("rans", False, {"symbols": LIST, "indexes": LIST, **TABLES}, {"stream": BYTES}),
    "rans_decode": Operation("rans", False, {"stream": BYTES, "indexes": LIST, **TABLES}, {"symbols": LIST}),
    "pack_raw": Operation("buffers", False, {"y_hat": Y, "z_hat": Z}, {"buffer": BYTES}),
    "pack_zlib": Operation("buffers", False, {"y_hat": Y, "z_hat": Z}, {"buffer": BYTES}),
    "unpack_raw": Operation("buffers", False, {"buffer": BYTES}, {"y_hat": Y, "z": Z}),
    "unpack_zlib": Operation("buffers", False, {"buffer": BYTES}, {"y_hat": Y, "z": Z}),
    "decode": Operation("decode", True, {"stream": BYTES}, {"y_hat": Y, "image": IMAGE}),
    "encode": Operation("encode", True, {"image": IMAGE}, {"stream": BYTES}),
    "encode_reproducible": Operation("reproducible", True, {"image": IMAGE}, {"stream": BYTES}),
    "decode_reproducible": Operation("reproducible", True, {"stream": BYTES}, {"image": IMAGE}),
    "compress": Operation("roundtrip", True, {"image": IMAGE}, {"blob": BYTES}),
    "reconstruct": Operation("roundtrip", True, {"image": IMAGE}, {"y_hat": Y, "image": IMAGE}),
    "decompress": Operation("roundtrip", True, {"blob": BYTES}, {"y_hat": Y, "image": IMAGE}),
}
"""By name, grouped by capability.

`compress` and `decompress` may use a format of the subject's own. `reconstruct` gives the
encoder's latents, which the decoder must get too, and their picture. `encode_reproducible` and
`decode_reproducible` are `encode` and `decode` of an implementation whose bytes and pixels don't depend on the
machine. It may lack the others.
"""

MOST = 1 << 26
"""Bytes that an answer may have where the question doesn't give its shape: ten times the largest right one."""
ROOM = 1 << 20
"""Bytes beyond the right ones of an answer that is read, to say what is wrong with its shape."""

CLOSED_LOOP = "exact_symbols"
"""The operation in which a wrong value spoils the values of later positions."""

CAPABILITIES = (
    *dict.fromkeys(operation.capability for operation in OPERATIONS.values()),
    "portable",
    "rejection",
    "kodak",
)
"""The last three have no operations of their own. `portable`: a process with other threads and processor features
decompresses what was compressed. `rejection`: malformed input of `rans` and `buffers` is refused, where many
coders read on; malformed streams are a part of `decode`. `kodak`: the figures of the Kodak pictures."""


def native(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """The same dtype in this machine's byte order. A .npy file may have either order, and says which."""
    return dtype.newbyteorder("=")


def not_a_mapping(operation: str, answer: object) -> str:
    """What is wrong with an answer that isn't a mapping, and what to give."""
    form = ", ".join(f"{name!r}: ..." for name in OPERATIONS[operation].outputs)
    return f"the answer is {type(answer).__name__}, not a mapping of names to values: give {{{form}}}"


def fault(operation: str, inputs: Values, answer: object) -> str | None:
    """The fault in the form of an answer, or None.

    inputs: the arguments of the question, which fix the sizes of the axes. answer: the subject's, of any type.
    """
    outputs = OPERATIONS[operation].outputs
    if not isinstance(answer, Mapping):
        return not_a_mapping(operation, answer)
    missing, extra = outputs.keys() - answer.keys(), answer.keys() - outputs.keys()
    if missing:
        return f"{', '.join(sorted(missing))} missing from the answer"
    if extra:
        return f"{', '.join(sorted(map(str, extra)))} in the answer, but not asked for"
    sizes = sizes_in(operation, inputs)
    for name, form in outputs.items():
        wrong = _match(answer[name], form, sizes)
        if wrong:
            return f"{name} {wrong}"
    return None


def sizes_in(operation: str, inputs: Values) -> dict[str, int]:
    """The sizes of axes that the arguments of a question fix, by letter."""
    sizes: dict[str, int] = {}
    for name, form in OPERATIONS[operation].inputs.items():
        _match(inputs[name], form, sizes)
    return sizes


def most_bytes(operation: str, inputs: Values) -> Mapping[str, int]:
    """How many bytes the file of each output may have."""
    sizes = {"3": 3, **sizes_in(operation, inputs)}

    def most(axes: str) -> int:
        known = axes and all(axis in sizes for axis in axes)
        # of the widest dtype: a wrong one has a message of its own
        return ROOM + 16 * math.prod(sizes[axis] for axis in axes) if known else MOST

    return {name: most(form.axes) for name, form in OPERATIONS[operation].outputs.items()}


def _match(value: object, form: Form, sizes: dict[str, int]) -> str | None:
    """How a value departs from its form, or None. sizes: by letter, as far as known; the value's are added."""
    if form.dtype == "bytes":
        return None if isinstance(value, bytes) else f"is {type(value).__name__}, not bytes"
    if not isinstance(value, np.ndarray):
        return f"is {type(value).__name__}, not an array"
    if native(value.dtype) != form.dtype:
        return f"has dtype {value.dtype}, not {form.dtype}"
    expected = tuple(int(axis) if axis.isdigit() else sizes.get(axis) for axis in form.axes)
    if len(expected) != value.ndim or any(e not in (None, n) for e, n in zip(expected, value.shape, strict=True)):
        wanted = ", ".join(
            axis if size is None else str(size) for axis, size in zip(form.axes, expected, strict=True)
        )
        return f"has shape {value.shape}, not ({wanted})"
    sizes.update({axis: n for axis, n in zip(form.axes, value.shape, strict=True) if not axis.isdigit()})
    # P stands for 2M and h, w, i, j follow from H and W only through the stages, which compare shapes themselves
    if not np.isfinite(value).all():
        where = tuple(int(n) for n in np.argwhere(~np.isfinite(value))[0])
        return f"isn't finite at {where}"
    return None
