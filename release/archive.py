"""The golden vectors as one archive, for whoever has no library to read their files.

The archive holds the folder `vectors/` and the model files. What a C programmer would need a library for is there
once more in a plain form, beside it:

    NAME.npy            NAME.bin    the numbers, little-endian, in C order
    NAME.png            NAME.ppm    binary PPM (P6), 8 bits
    NAME.safetensors    NAME/*.bin  a file for each tensor, by its name

`raw.txt` has a line for each of these .bin files: its path, dtype and shape, with spaces between. The same files
always give the same archive, byte for byte.
"""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import safetensors.numpy

from mbtref.modelfile import EMBEDDED
from mbtref.suite.subjects.data import gaussian_file, model_file
from mbtref.suite.vectors import FOLDER

RAW = "raw.txt"
"""The file that has dtype and shape of every raw array."""
DATE = (1980, 1, 1, 0, 0, 0)
"""The date of every file: the first that a zip archive can have."""
Array = npt.NDArray[Any]


def archive(name: str) -> bytes:
    """The archive. name: of the folder that it unpacks to."""
    files = (path for path in FOLDER.rglob("*") if path.is_file())
    found = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in files}
    found |= {f"models/{path.name}": path.read_bytes() for path in (*map(model_file, EMBEDDED), gaussian_file())}
    plain, lines = dict[str, bytes](), list[str]()
    for path, data in found.items():
        if path.endswith(".png"):
            plain[path.removesuffix(".png") + ".ppm"] = ppm(data)
        for target, array in arrays(path, data):
            plain[target] = little_endian(array)
            lines.append(f"{target} {array.dtype.name} {' '.join(map(str, array.shape))}".rstrip())
    if twice := found.keys() & plain.keys():
        raise ValueError(f"two files have the name {min(twice)}")
    plain[RAW] = "".join(f"{line}\n" for line in sorted(lines)).encode()
    return zipped({f"{name}/{path}": data for path, data in (found | plain).items()})


def arrays(path: str, data: bytes) -> Iterator[tuple[str, Array]]:
    """The arrays in a file, each with the path of its raw form; none if the file holds none."""
    stem, _, suffix = path.rpartition(".")
    if suffix == "npy":
        yield f"{stem}.bin", np.load(io.BytesIO(data), allow_pickle=False)
    elif suffix == "safetensors":
        for name, array in safetensors.numpy.load(data).items():
            yield f"{stem}/{name}.bin", array


def little_endian(array: Array) -> bytes:
    """The numbers as little-endian bytes, in C order."""
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def ppm(png: bytes) -> bytes:
    """A picture as binary PPM."""
    pixels = np.asarray(PIL.Image.open(io.BytesIO(png)).convert("RGB"))
    height, width, _ = pixels.shape
    return b"P6\n%d %d\n255\n" % (width, height) + pixels.tobytes()


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip archive of these files, sorted by path. It depends on nothing else."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, DATE)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(entry, files[path])
    return buffer.getvalue()
