import gzip
import hashlib
import struct

import numpy as np
import pytest

from mixvae.data.files.idx import read_idx

IMAGES = np.arange(3 * 2 * 4).reshape(3, 2, 4)
HEADER = struct.pack(">4I", 0x0803, 3, 2, 4)
CONTENT = HEADER + bytes(range(24))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "images-idx3-ubyte"


def test_an_array_is_read_as_the_format_says(path):
    path.write_bytes(CONTENT)
    array = read_idx(path, 3, hashlib.md5(CONTENT).hexdigest())
    assert array.dtype == np.uint8
    assert array.flags.writeable  # torch warns about arrays that are not
    np.testing.assert_array_equal(array, IMAGES)


def test_raw_equals_gz_whatever_the_compression(path):
    path.write_bytes(CONTENT)
    packed = path.with_suffix(".gz")
    for level in (1, 9):
        packed.write_bytes(gzip.compress(CONTENT, level))
        array = read_idx(packed, 3, hashlib.md5(CONTENT).hexdigest())
        np.testing.assert_array_equal(array, read_idx(path, 3))


@pytest.mark.parametrize(
    ("content", "expected", "found"),
    [
        (b"", "a header of 16 bytes", "0 bytes"),
        (CONTENT[:15], "a header of 16 bytes", "15 bytes"),
        (CONTENT[:-1], r"40 bytes, as its header of shape \(3, 2, 4\) says", "39 bytes"),
        (CONTENT + b"x", "40 bytes", "41 bytes"),
        (struct.pack(">4I", 0x0801, 3, 2, 4) + CONTENT[16:], "magic number 2051", "2049"),
        (b"<html>" + CONTENT[6:], "magic number 2051", "1013478509"),
        # a header whose product overflows 64 bits must not wrap around to a plausible length
        (struct.pack(">4I", 0x0803, *[0xFFFFFFFF] * 3), f"{16 + 0xFFFFFFFF**3} bytes", "16 bytes"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_file_is_named_with_expected_and_found(path, content, expected, found, packed):
    if packed:
        path = path.with_suffix(".gz")
        content = gzip.compress(content)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"expected {expected}.*, found {found}.*Delete") as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content  # a user's file is never replaced or removed


def test_a_failing_checksum_is_named_with_expected_and_found(path):
    damaged = CONTENT[:-1] + b"!"
    path.write_bytes(damaged)
    expected = hashlib.md5(CONTENT).hexdigest()
    found = hashlib.md5(damaged).hexdigest()
    with pytest.raises(ValueError, match=f"expected content of md5 {expected}, found {found}"):
        read_idx(path, 3, expected)


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(b"", id="empty"),
        pytest.param(gzip.compress(CONTENT)[:-9], id="truncated"),
        pytest.param(CONTENT, id="not packed"),
        pytest.param(gzip.compress(CONTENT)[:20] + b"\xff" * 20, id="overwritten"),
    ],
)
def test_a_damaged_gz_file_is_one_clear_error(path, packed):
    path = path.with_suffix(".gz")
    path.write_bytes(packed)
    with pytest.raises(ValueError, match=r"images-idx3-ubyte\.gz is damaged .* gzip file, found"):
        read_idx(path, 3)
