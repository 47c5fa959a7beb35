"""The official file's layout in small: 2 shapes, 2 scales, 3 orientations, 5 x 5 positions."""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mixvae.data.images.dsprites import Grid
from mixvae.data.images.dsprites_file import read_dsprites

SIZES = (2, 2, 3, 5, 5)
N = 300
ROWS = np.array([0, 3, 150, 299])
GRID = Grid(((),), ROWS, np.zeros((4, 5), np.int64))


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "imgs": random.integers(0, 2, (N, 64, 64), dtype=np.uint8),
        "latents_classes": np.indices((1, *SIZES)).reshape(6, -1).T,
        # the real one holds pickled objects here, which are never read
        "metadata": np.array({"title": "dSprites"}, dtype=object),
    }


@pytest.fixture
def write(tmp_path: Path, arrays: dict[str, np.ndarray]):
    def write(**other: np.ndarray | None) -> Path:
        path = tmp_path / "small.npz"
        kept = {k: v for k, v in {**arrays, **other}.items() if v is not None}
        np.savez_compressed(path, **kept)
        return path

    return write


def test_the_images_of_the_rows_asked_for_are_read(write, arrays, monkeypatch):
    path = write()
    expected = np.packbits(arrays["imgs"][ROWS].reshape(4, -1), axis=1)
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    for chunk in (1, 7, N, 4096):
        monkeypatch.setattr("mixvae.data.images.dsprites_file.CHUNK", chunk)
        assert np.array_equal(read_dsprites(path, GRID, md5, SIZES), expected)


@pytest.mark.parametrize("size", [0, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused_also_without_its_md5(write, size):
    path = write()
    content = path.read_bytes()
    path.write_bytes(content[: round(size * len(content)) if size < 1 else size])
    with pytest.raises(ValueError, match=r"small.npz is not a whole npz file: .* Delete it"):
        read_dsprites(path, GRID, None, SIZES)


def test_damaged_bytes_within_are_refused(write):
    path = write()
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 3, len(content) // 3 + 50):
        content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a whole npz file"):
        read_dsprites(path, GRID, None, SIZES)


def test_missing_pixels_are_refused(write, arrays):
    path = write()
    shorter = io.BytesIO()
    np.lib.format.write_array(shorter, arrays["imgs"])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("imgs.npy", shorter.getvalue()[:-10])
        file = io.BytesIO()
        np.lib.format.write_array(file, arrays["latents_classes"])
        archive.writestr("latents_classes.npy", file.getvalue())
    with pytest.raises(ValueError, match="10 bytes of pixels are missing"):
        read_dsprites(path, GRID, None, SIZES)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"imgs": None}, r"has no array 'imgs', only \['latents_classes', 'metadata'\]"),
        ({"latents_classes": None}, "has no array 'latents_classes'"),
        ({"imgs": np.zeros((N, 32, 32), np.uint8)}, r"shape \(300, 32, 32\) and type uint8"),
        ({"imgs": np.zeros((N, 64, 64), np.float32)}, "type float32"),
        ({"imgs": np.zeros((7, 64, 64), np.uint8)}, r"expected \(300, 64, 64\) and uint8"),
        ({"imgs": np.full((N, 64, 64), 255, np.uint8)}, "holds the pixel 255"),
        ({"latents_classes": np.zeros((N, 6), np.int64)}, "holds other factors than dSprites"),
        ({"latents_classes": np.zeros((N, 5), np.int64)}, r"of shape \(300, 5\)"),
    ],
)
def test_another_npz_is_refused(write, other, message):
    with pytest.raises(ValueError, match=message):
        read_dsprites(write(**other), GRID, None, SIZES)
