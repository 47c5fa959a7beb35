"""Jobs are made once, in few multiruns, whatever was made or stopped before."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest

from experiments import rat_runs
from experiments.rat_runs import Block, Job, blocks, complete, grid


class Launcher:
    """Does what `mixvae.train -m` does to folders: every job finishes but those told to fail."""

    def __init__(self, failing: set[Job] | None = None) -> None:
        self.failing = failing or set()
        self.commands: list[list[str]] = []

    def __call__(self, arguments: list[str]) -> None:
        lines = list(arguments)
        self.commands.append(lines)
        if lines[0].startswith("sweep.resume="):
            folder = Path(lines[0].partition("=")[2])
            lines = (folder / "overrides.txt").read_text().splitlines()
        else:
            folder = Path(lines[-1].partition("=")[2])
            folder.mkdir(parents=True)
            (folder / "overrides.txt").write_text("".join(f"{line}\n" for line in lines))
        said = [line for line in lines if not line.startswith("hydra.")]
        choices = [
            [f"{line.split('=')[0]}={v}" for v in line.split("=", 1)[1].split(",")] for line in said
        ]
        for number, chosen in enumerate(product(*choices)):
            self.run(folder / str(number), list(chosen))

    def run(self, folder: Path, lines: list[str]) -> None:
        folder.mkdir(exist_ok=True)
        # Hydra writes booleans its own way.
        text = "".join(f"{line.replace('=false', '=False')}\n" for line in lines)
        (folder / "overrides.txt").write_text(text)
        said = dict(line.lstrip("+").split("=", 1) for line in lines)
        beta = said.get("model.beta")
        job = Job(said["model"], None if beta is None else float(beta), int(said["seed"]))
        status = "failed" if job in self.failing else "finished"
        summary = {"status": status, "test/kl": 1.0, "seed": job.seed}
        (folder / "summary.json").write_text(json.dumps(summary))


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> Launcher:
    made = Launcher()
    monkeypatch.setattr(rat_runs, "launch", made)
    return made


def test_a_grid_gives_a_method_without_beta_once_per_seed() -> None:
    assert grid(["mmvm", "ae"], [0.1, 0.01], [0]) == [
        Job("mmvm", 0.1, 0),
        Job("mmvm", 0.01, 0),
        Job("ae", None, 0),
    ]


def test_blocks_hold_the_jobs_and_no_other() -> None:
    jobs = grid(["mmvm", "poe", "ae"], [0.1, 0.01], [0, 1])
    made = blocks(jobs)
    assert made == [
        Block(("mmvm", "poe"), (0.1, 0.01), (0, 1)),
        Block(("ae",), (None,), (0, 1)),
    ]
    ragged = [job for job in jobs if job != Job("poe", 0.01, 1)]
    found = [Job(*job) for block in blocks(ragged) for job in product(*block)]
    assert sorted(found, key=str) == sorted(ragged, key=str)


def test_what_is_done_is_not_asked_for_again(tmp_path: Path, launcher: Launcher) -> None:
    jobs = grid(["mmvm", "ae"], [0.1, 1e-05], [0])
    done = complete(jobs, tmp_path, ["trainer.max_epochs=2"])
    assert list(done) == jobs
    first, second = launcher.commands
    assert first[:4] == [
        "+experiment=hippocampus_mmvm",
        "model=mmvm",
        "model.beta=0.1,1e-05",
        "seed=0",
    ]
    assert "trainer.max_epochs=2" in first
    assert first[-1] == f"hydra.sweep.dir={tmp_path / '0'}"
    assert "model=ae" in second
    assert not any(line.startswith("model.beta") for line in second)

    assert complete(jobs, tmp_path, ["trainer.max_epochs=2"]).keys() == done.keys()
    assert len(launcher.commands) == 2
    more = grid(["mmvm", "ae"], [0.1, 1e-05], [0, 1])
    assert list(complete(more, tmp_path, ["trainer.max_epochs=2"])) == more
    assert ["seed=1" in command for command in launcher.commands[2:]] == [True, True]


def test_other_overrides_are_other_runs(tmp_path: Path, launcher: Launcher) -> None:
    jobs = [Job("mmvm", 0.1, 0)]
    complete(jobs, tmp_path, [])
    complete(jobs, tmp_path, ["trainer.max_epochs=2"])
    assert len(launcher.commands) == 2
    assert rat_runs.finished(tmp_path, ["trainer.max_epochs=3"]) == {}


def test_a_stopped_multirun_is_continued_and_a_failure_left_out(
    tmp_path: Path, launcher: Launcher
) -> None:
    jobs = grid(["mmvm"], [0.1, 0.01], [0])
    launcher.failing = {jobs[1]}
    assert list(complete(jobs, tmp_path, [])) == jobs[:1]
    assert list(complete(jobs, tmp_path, [])) == jobs[:1]
    assert launcher.commands[1:] == [[f"sweep.resume={tmp_path / '0'}"]]
    launcher.failing = set()
    assert list(complete(jobs, tmp_path, [])) == jobs
    assert len(launcher.commands) == 3
