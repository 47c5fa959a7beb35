import gzip
import hashlib
import struct

import numpy as np
import pytest

from mixvae.data.files.idx import read_idx, read_official_idx

IMAGES = np.arange(3 * 2 * 4).reshape(3, 2, 4)
CONTENT = struct.pack(">4I", 0x0803, 3, 2, 4) + bytes(range(24))
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "images-idx3-ubyte"


def test_an_array_is_read_as_the_format_says_raw_or_gz_whatever_the_compression(path):
    for content in (CONTENT, gzip.compress(CONTENT, 1), gzip.compress(CONTENT, 9)):
        path.write_bytes(content)
        for array in (read_official_idx(path, 3, MD5), read_idx(path)):
            assert array.dtype == np.uint8
            assert array.flags.writeable  # torch warns about arrays that are not
            np.testing.assert_array_equal(array, IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with the bytes "),
        (b"<html>" + CONTENT[6:], "begins with the bytes 3c68746d"),
        (CONTENT[:15], "header of shape .* but it has 15"),
        (CONTENT[:-1], r"header of shape \(3, 2, 4\) says 40 bytes, but it has 39"),
        (CONTENT + b"x", "says 40 bytes, but it has 41"),
        # a header whose product overflows 64 bits must not wrap around to a plausible length
        (struct.pack(">4I", 0x0803, *[0xFFFFFFFF] * 3), f"says {16 + 0xFFFFFFFF**3} bytes"),
        (struct.pack(">2I", 0x0801, 3) + b"abc", "holds uint8 of 1 dimensions, not bytes of 3"),
        (struct.pack(">4I", 0x0903, 1, 1, 1) + b"a", "holds int8 of 3 dimensions"),
        (CONTENT[:-1] + b"!", f"expected md5 {MD5}, found "),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_another_file_than_the_official_one_is_named_and_kept(path, content, message, packed):
    content = gzip.compress(content) if packed else content
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"images-idx3-ubyte.*{message}.*Delete"):
        read_official_idx(path, 3, MD5)
    assert path.read_bytes() == content  # a user's file is never replaced or removed


@pytest.mark.parametrize("kept", [slice(-9), slice(20)], ids=["truncated", "overwritten"])
def test_a_damaged_gz_file_is_one_clear_error(path, kept):
    path.write_bytes(gzip.compress(CONTENT)[kept] + b"\xff" * (kept.stop == 20) * 20)
    for read in (read_idx, lambda file: read_official_idx(file, 3)):
        with pytest.raises(ValueError, match=r"images-idx3-ubyte cannot be unpacked by gzip"):
            read(path)
