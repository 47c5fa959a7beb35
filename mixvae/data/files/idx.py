"""Reading IDX files, the format of MNIST: a big-endian header, then the bytes of one array."""

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

UNSIGNED_BYTE = 0x08


def read_idx(path: Path, num_dims: int, md5: str | None = None) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or compressed with gzip, as a writable array.

    Args:
        path: The file; compressed if its name ends in `.gz`.
        md5: Hash of the uncompressed bytes; None checks the structure only. A file that was packed
            again with other gzip settings passes.
    """
    content = _read_bytes(path)
    header_size = 4 + 4 * num_dims
    if len(content) < header_size:
        raise _damaged(path, f"a header of {header_size} bytes", f"{len(content)} bytes in all")
    magic = int.from_bytes(content[:4], "big")
    expected_magic = (UNSIGNED_BYTE << 8) | num_dims
    if magic != expected_magic:
        raise _damaged(path, f"magic number {expected_magic}", f"{magic}")
    shape = struct.unpack_from(f">{num_dims}I", content, 4)
    size = header_size + int(np.prod([int(n) for n in shape], dtype=object))
    if len(content) != size:
        raise _damaged(
            path, f"{size} bytes, as its header of shape {shape} says", f"{len(content)} bytes"
        )
    if md5 is not None:
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != md5:
            raise _damaged(path, f"content of md5 {md5}", found)
    return np.frombuffer(content, dtype=np.uint8, offset=header_size).reshape(shape)


# Types of an IDX file by the third byte of its magic number, big-endian.
TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


IDX = re.compile(r".*[.-]idx\d-?\w*(\.gz)?|.*-ubyte(\.gz)?|.*\.idx(\.gz)?", re.IGNORECASE)


def is_idx(path: Path) -> bool:
    """Whether a file is called as IDX files are."""
    return IDX.fullmatch(path.name) is not None


def read_own_idx(path: Path) -> NDArray[Any]:
    """Read an IDX file of the user's own: any type, number of dimensions and size, plain or gz.

    Raises:
        ValueError: Saying what the header promises and what the file holds.
    """
    stored = path.read_bytes()
    if stored[:2] == b"\x1f\x8b":
        try:
            stored = gzip.decompress(stored)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path} cannot be unpacked by gzip: {error}") from error
    if len(stored) < 4 or stored[:2] != b"\0\0" or stored[2] not in TYPES:
        raise ValueError(f"{path} is not an IDX file: it begins with the bytes {stored[:4].hex()}")
    dtype, num_dims = np.dtype(TYPES[stored[2]]), stored[3]
    start = 4 + 4 * num_dims
    shape = struct.unpack_from(f">{num_dims}I", stored, 4) if len(stored) >= start else ()
    size = start + dtype.itemsize * int(np.prod([int(n) for n in shape], dtype=object))
    if len(stored) < start or len(stored) != size:
        raise ValueError(
            f"{path}: its header of shape {shape} says {size} bytes, but it has {len(stored)}"
        )
    array = np.frombuffer(stored, dtype=dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _read_bytes(path: Path) -> bytearray:
    """Read and unpack the whole file; a bytearray, so that the array over it is writable."""
    stored = path.read_bytes()
    if path.suffix != ".gz":
        return bytearray(stored)
    if not stored:
        raise _damaged(path, "a gzip file", "an empty file")
    try:
        return bytearray(gzip.decompress(stored))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(path, "a complete gzip file", f"{len(stored)} bytes: {error}") from error


def _damaged(path: Path, expected: str, found: str) -> ValueError:
    return ValueError(
        f"{path} is damaged or not the file its name says: expected {expected}, found {found}."
        " Delete the file and run again to have it downloaded, or put a good copy in its place"
    )
