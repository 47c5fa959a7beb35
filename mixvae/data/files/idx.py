"""Reading IDX files, the format of MNIST: a big-endian header, then the values of one array."""

from __future__ import annotations

import gzip
import hashlib
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Types of an IDX file by the third byte of its magic number, big-endian.
TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
IDX = re.compile(r".*[.-]idx\d-?\w*(\.gz)?|.*-ubyte(\.gz)?|.*\.idx(\.gz)?", re.IGNORECASE)


def is_idx(path: Path) -> bool:
    """Whether a file is called as IDX files are."""
    return IDX.fullmatch(path.name) is not None


def read_idx(path: Path) -> NDArray[Any]:
    """Read a file of any type, number of dimensions and size, plain or gz, as a writable array."""
    return _array(path, _unpacked(path))


def read_official_idx(path: Path, num_dims: int, md5: str | None = None) -> NDArray[np.uint8]:
    """Read unsigned bytes of a published file; any other content is refused as damaged.

    Args:
        md5: Hash of the unpacked bytes; None checks the structure only. A file that was packed
            again with other gzip settings passes.
    """
    try:
        content = _unpacked(path)
        array = _array(path, content)
        if array.dtype != np.uint8 or array.ndim != num_dims:
            raise ValueError(
                f"{path} holds {array.dtype} of {array.ndim} dimensions, not bytes of {num_dims}"
            )
        found = md5 and hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != md5:
            raise ValueError(f"{path} is not the official file: expected md5 {md5}, found {found}")
    except ValueError as error:
        raise ValueError(
            f"{error}. Delete the file and run again to have it downloaded, or put a good copy in"
            " its place"
        ) from error
    return array


def _unpacked(path: Path) -> bytes:
    stored = path.read_bytes()
    if stored[:2] != b"\x1f\x8b":
        return stored
    try:
        return gzip.decompress(stored)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be unpacked by gzip: {error}") from error


def _array(path: Path, content: bytes) -> NDArray[Any]:
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES:
        raise ValueError(f"{path} is not an IDX file: it begins with the bytes {content[:4].hex()}")
    dtype, num_dims = np.dtype(TYPES[content[2]]), content[3]
    start = 4 + 4 * num_dims
    shape = struct.unpack_from(f">{num_dims}I", content, 4) if len(content) >= start else ()
    size = start + dtype.itemsize * int(np.prod([int(n) for n in shape], dtype=object))
    if len(content) < start or len(content) != size:
        raise ValueError(
            f"{path}: its header of shape {shape} says {size} bytes, but it has {len(content)}"
        )
    array = np.frombuffer(content, dtype=dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="))
