from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixvae.engine import devices as sharing
from mixvae.engine.devices import take_gpu, threads_for_each, visible_gpus


@pytest.fixture(autouse=True)
def _free(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No GPU is held before or after, and the environment stays."""
    monkeypatch.setenv(sharing.VISIBLE, "")
    yield
    for file in sharing._held:
        file.close()
    sharing._held.clear()


def take_as_other_process(folder: Path, gpus: list[str], num_jobs: int) -> tuple[str | None, Any]:
    """Take a GPU and hide that this process has it, as if another process held it."""
    taken = take_gpu(folder, gpus, num_jobs)
    held = list(sharing._held)
    sharing._held.clear()
    return taken, held


def test_workers_take_different_gpus_then_share_evenly(tmp_path: Path) -> None:
    kept, taken = [], []
    for _ in range(4):
        gpu, held = take_as_other_process(tmp_path, ["0", "1"], num_jobs=4)
        kept.append(held)
        taken.append(gpu)
        assert os.environ[sharing.VISIBLE] == gpu
    assert taken == ["0", "1", "0", "1"]
    # A fifth worker would be one more than there are jobs at a time.
    assert take_gpu(tmp_path, ["0", "1"], num_jobs=4) is None
    # A worker that ends frees its GPU for the next one.
    for held in kept[1], *kept[:1], *kept[2:]:
        assert len(held) == 1
        held[0].close()
        if held is kept[1]:
            assert take_gpu(tmp_path, ["0", "1"], num_jobs=4) == "1"


def test_a_worker_keeps_its_gpu_for_its_next_job(tmp_path: Path) -> None:
    assert take_gpu(tmp_path, ["0", "1"], 2) == "0"
    assert take_gpu(tmp_path, ["0", "1"], 2) is None
    assert os.environ[sharing.VISIBLE] == "0"


def test_a_machine_without_gpus_has_none_to_share(tmp_path: Path) -> None:
    assert take_gpu(tmp_path, [], 2) is None
    assert list(tmp_path.iterdir()) == []


def test_gpus_are_those_that_the_user_left_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    assert visible_gpus(3) == ["0", "1", "2"]
    monkeypatch.setenv(sharing.VISIBLE, "5, 7")
    assert visible_gpus(2) == ["5", "7"]


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "available_cores", lambda: 16)
    assert [threads_for_each(jobs) for jobs in (1, 3, 16, 40, -1)] == [16, 5, 1, 1, 1]


@pytest.mark.slow
def test_parallel_jobs_of_a_sweep_share_the_cores(
    train: Callable[..., Any], small: Sequence[str], tmp_path: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    own = [line for line in small if not line.startswith("num_threads")]
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep")
    outcome = train("-m", *own, "trainer.max_epochs=1", "seed=0,1", *launcher)
    assert outcome.status == 0, outcome.err
    for job in ("0", "1"):
        config = yaml.safe_load((tmp_path / "sweep" / job / "config.yaml").read_text())
        assert config["num_threads"] == threads_for_each(2)
        assert (tmp_path / "sweep" / job / "summary.json").is_file()
    assert "2 finished" in outcome.out
