"""A method without a regulariser has no weight of it; the runs are asked for once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.modality_runs import Job, complete, grid

if TYPE_CHECKING:
    from tests.experiments.conftest import Launcher


def test_a_grid_gives_a_method_without_beta_once_per_seed() -> None:
    assert grid(["mmvm", "ae"], [0.1, 0.01], [0]) == [
        Job("mmvm", 0.1, 0),
        Job("mmvm", 0.01, 0),
        Job("ae", None, 0),
    ]


def test_runs_are_found_by_method_beta_and_seed(tmp_path: Path, launcher: Launcher) -> None:
    jobs = grid(["mmvm", "ae"], [0.1, 1e-05], [0, 1])
    done = complete(jobs, tmp_path, ["trainer.max_epochs=2"])
    assert list(done) == jobs
    first, second = launcher.commands
    assert first[:5] == [
        "+experiment=hippocampus_mmvm",
        "model=mmvm",
        "model.beta=0.1,1e-05",
        "seed=0,1",
        "trainer.max_epochs=2",
    ]
    assert "model=ae" in second
    assert not any(line.startswith("model.beta") for line in second)
    assert complete(jobs, tmp_path, ["trainer.max_epochs=2"]) == done
    assert len(launcher.commands) == 2
