"""What every test may rely on: fixed seeds, one thread, no network, nothing of the user's."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

# Before anything imports matplotlib: no test opens a window.
os.environ["MPLBACKEND"] = "Agg"
_DATA_DIR = os.environ.get("MIXVAE_DATA_DIR")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from mixvae.train import main  # noqa: E402

# One thread: sums come out in one order, and a busy machine does not slow a small test down.
torch.set_num_threads(1)

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_connect = socket.socket.connect


def _connect_nearby(self: socket.socket, address: object) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = address[0] if isinstance(address, tuple) else address
        if host not in _LOOPBACK:
            raise OSError(f"a test tried to reach the network: {address!r}")
    _connect(self, address)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


_NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, _NO_GPU])])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where a test computes: on the CPU, and where there is one also on a GPU."""
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def _interruptible() -> None:
    """Hear Ctrl-C, as what a test starts then does.

    An interrupted run leaves it ignored, and so does a shell for its background jobs.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _hygiene(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Keep the user's W&B account, data and runs, and the network, out of a test."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MIXVAE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    # A folder that is not there, so that a test which forgets to name its data root fails.
    monkeypatch.setenv("MIXVAE_DATA_DIR", str(tmp_path_factory.getbasetemp() / "no-data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))
    monkeypatch.setattr(socket.socket, "connect", _connect_nearby)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The root of the source tree, which holds pyproject.toml."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_mnist_root(repo_root: Path) -> Path:
    """A data root with the real MNIST: MIXVAE_DATA_DIR, or `shared/data` beside the repository."""
    root = Path(_DATA_DIR) if _DATA_DIR else repo_root.parent / "shared" / "data"
    if not list(root.glob("MNIST/raw/train-images-idx3-ubyte*")):
        pytest.skip(f"no real MNIST under {root}; set MIXVAE_DATA_DIR")
    return root


# A run that takes half a second: real digits, small networks, no pictures, no page, no W&B.
SMALL = (
    "model.agents.encoder.hidden=[16,8]",
    "model.agents.decoder.hidden=[16]",
    "model.state_dim=2",
    "trainer.max_epochs=2",
    "num_threads=1",
    "logger=csv",
    "report=false",
    "~callbacks.figures",
)


class Outcome(NamedTuple):
    """How a command ended: its exit status and what it printed."""

    status: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """`mixvae.train` in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Outcome:
        capfd.readouterr()
        status = main(list(arguments))
        return Outcome(status, *capfd.readouterr())

    return command


@pytest.fixture(scope="session")
def small() -> Sequence[str]:
    """Overrides that make a run small."""
    return SMALL


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Path]:
    """Runs made so far, by their overrides."""
    return {}


@pytest.fixture
def run(
    train: Command,
    tmp_path: Path,
    templates: dict[tuple[str, ...], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Path]:
    """Return the folder of a small finished run, copied if one with these overrides was made.

    Runs depend on nothing but their config, which other tests prove, and may be moved.
    """

    def make(name: str, *arguments: str, fresh: bool = False) -> Path:
        if arguments not in templates or fresh:
            folder = tmp_path_factory.mktemp("run") / "made"
            outcome = train(*SMALL, *arguments, f"run_dir={folder}")
            assert outcome.status == 0, outcome.err
            templates[arguments] = folder
        return Path(shutil.copytree(templates[arguments], tmp_path / name))

    return make


@pytest.fixture(scope="session")
def read_json() -> Callable[[Path], dict[str, Any]]:
    """Read strict JSON: NaN, which Python's reader would take, is refused."""

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    return lambda path: json.loads(path.read_text(), parse_constant=refuse)
