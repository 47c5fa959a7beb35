"""Data modules set up, small files in MNIST's layout, and a web server on this machine."""

import gzip
import struct
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

NUM_TRAIN, NUM_TEST = 40, 12


def set_up(data: Any) -> Any:
    """The data module as a fit finds it."""
    data.prepare_data()
    data.setup("fit")
    return data


def collect(loader: Any) -> Any:
    """All samples of a loader as one batch."""
    batches = list(loader)

    def joined(parts: tuple[Any, ...]) -> Any:
        if parts[0] is None:
            return None
        if isinstance(parts[0], tuple):
            return tuple(map(torch.cat, zip(*parts, strict=True)))
        return torch.cat(parts)

    return type(batches[0])(*map(joined, zip(*batches, strict=True)))


def idx_bytes(array: np.ndarray) -> bytes:
    """Write an IDX file by its definition."""
    kind = {"uint8": 0x08, "int32": 0x0C, "float32": 0x0D}[str(array.dtype)]
    header = struct.pack(f">I{array.ndim}I", kind << 8 | array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


class SmallMNIST(NamedTuple):
    """What the small files hold."""

    root: Path
    raw: Path
    arrays: dict[str, np.ndarray]


@pytest.fixture
def small_arrays() -> dict[str, np.ndarray]:
    integers = partial(np.random.default_rng(7).integers, 0, dtype=np.uint8)
    return {
        "train-images-idx3-ubyte": integers(256, size=(NUM_TRAIN, 28, 28)),
        "train-labels-idx1-ubyte": integers(10, size=NUM_TRAIN),
        "t10k-images-idx3-ubyte": integers(256, size=(NUM_TEST, 28, 28)),
        "t10k-labels-idx1-ubyte": integers(10, size=NUM_TEST),
    }


@pytest.fixture
def write_small_mnist(
    tmp_path: Path, small_arrays: dict[str, np.ndarray]
) -> Callable[..., SmallMNIST]:
    """Return a function that writes the four files, plain or packed."""

    def write(name: str = "root", packed: bool = False, layout: str = "MNIST/raw") -> SmallMNIST:
        folder = tmp_path / name / layout
        folder.mkdir(parents=True)
        for file, array in small_arrays.items():
            content = idx_bytes(array)
            if packed:
                (folder / f"{file}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / file).write_bytes(content)
        return SmallMNIST(tmp_path / name, folder, small_arrays)

    return write


class Mirror(NamedTuple):
    """A web server of one folder, and the paths that it was asked for."""

    address: str
    folder: Path
    asked: list[str]


@pytest.fixture
def start_mirror(tmp_path: Path) -> Iterator[Callable[[str], Mirror]]:
    """Return a function that serves a new folder, `tmp_path / name`, on 127.0.0.1."""
    servers = []

    def start(name: str) -> Mirror:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        asked: list[str] = []

        class Handler(SimpleHTTPRequestHandler):
            def log_request(self, code: object = "-", size: object = "-") -> None:
                asked.append(self.path)

            def log_message(self, format: str, *args: object) -> None:
                """Keep quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return Mirror(f"http://127.0.0.1:{server.server_port}/", folder, asked)

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()
