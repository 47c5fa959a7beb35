"""Jobs are made once, in few multiruns, whatever was made or stopped before."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from omegaconf import OmegaConf

from experiments import multiruns
from experiments.multiruns import Job, as_job, blocks, collect, complete
from experiments.run_settings import changed_since
from mixvae import __version__
from mixvae.runs.folder import RunFolder
from tests.composed import composed

if TYPE_CHECKING:
    from tests.experiments.conftest import Launcher

JOBS = [
    as_job([f"+experiment={name}", f"seed={seed}", "data.rats=[stella,superchris]"])
    for name in ("a", "b")
    for seed in (0, 1)
]


def jobs_of(lines: list[str]) -> set[Job]:
    """The jobs of a block without lists."""
    parts = [line.split("=") for line in lines]
    return set(product(*([f"{key}={v}" for v in values.split(",")] for key, values in parts)))


def test_a_job_is_written_as_hydra_writes_it() -> None:
    said = ["+experiment=a", "model.beta=1e-5", "model.tau=0.10", "x=false", "y=[1,2]"]
    assert as_job(said) == (
        "+experiment=a",
        "model.beta=1e-05",
        "model.tau=0.1",
        "x=False",
        "y=[1,2]",
    )


def test_blocks_hold_the_jobs_and_no_other() -> None:
    assert blocks(JOBS) == [["+experiment=a,b", "seed=0,1", "data.rats=[stella,superchris]"]]
    assert blocks([]) == []
    whole = [(f"m={m}", f"beta={b}", f"seed={s}") for m in "pq" for b in (1, 2) for s in (0, 1)]
    whole += [("m=r", f"seed={s}") for s in (0, 1)]
    assert blocks(whole) == [["m=p,q", "beta=1,2", "seed=0,1"], ["m=r", "seed=0,1"]]
    ragged = [job for job in whole if job != ("m=q", "beta=1", "seed=1")]
    made = blocks(ragged)
    assert set().union(*map(jobs_of, made)) == set(ragged)
    assert sum(len(jobs_of(block)) for block in made) == len(ragged)
    assert len(made) < 5


def test_what_is_done_is_not_asked_for_again(tmp_path: Path, launcher: Launcher) -> None:
    done = complete(JOBS, tmp_path, ["hydra/launcher=joblib"])
    assert list(done) == JOBS
    assert [run.folder for run in done.values()] == [tmp_path / "0" / str(n) for n in range(4)]
    (command,) = launcher.commands
    assert command[:2] == ["+experiment=a,b", "seed=0,1"]
    assert command[-2:] == ["hydra/launcher=joblib", f"hydra.sweep.dir={tmp_path / '0'}"]

    assert complete(JOBS, tmp_path).keys() == done.keys()
    assert len(launcher.commands) == 1
    more = as_job([*JOBS[0][:1], "seed=2", *JOBS[0][2:]])
    assert list(complete([*JOBS, more], tmp_path)) == [*JOBS, more]
    assert "seed=2" in launcher.commands[1]


def test_other_overrides_are_other_runs(tmp_path: Path, launcher: Launcher) -> None:
    complete(JOBS[:1], tmp_path)
    longer = (*JOBS[0], "trainer.max_epochs=2")
    complete([longer], tmp_path)
    assert len(launcher.commands) == 2
    assert len(multiruns.finished(tmp_path)) == 2
    turned = tuple(reversed(longer))
    assert list(complete([turned], tmp_path)) == [turned]
    assert len(launcher.commands) == 2


def test_a_stopped_multirun_is_continued_and_a_failure_left_out(
    tmp_path: Path, launcher: Launcher
) -> None:
    jobs = [("+experiment=a", "seed=0"), ("+experiment=a", "seed=1")]
    launcher.failing = {"seed=1"}
    assert list(complete(jobs, tmp_path)) == jobs[:1]
    assert list(complete(jobs, tmp_path)) == jobs[:1]
    assert launcher.commands[1:] == [[f"sweep.resume={tmp_path / '0'}"]]
    launcher.failing = set()
    assert list(complete(jobs, tmp_path)) == jobs
    assert len(launcher.commands) == 3


def test_runs_that_lie_elsewhere_are_not_made_again(tmp_path: Path, launcher: Launcher) -> None:
    job = ("+experiment=a", "seed=0")
    launcher.run(tmp_path / "seed0", ["+experiment=a", "run_dir=seed0", "seed=0"])
    done = complete([job], tmp_path / "runs", also=[tmp_path])
    assert done[job].folder == tmp_path / "seed0"
    assert launcher.commands == []


def test_a_run_of_other_settings_is_told_and_made_again(
    tmp_path: Path,
    launcher: Launcher,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    jobs = JOBS[:2]
    complete(jobs, tmp_path)
    old = tmp_path / "0" / "1"
    since = {old: ["model.beta was 1.0 and is 2.0"]}
    monkeypatch.setattr(multiruns, "changed_since", lambda folder, job: since.get(folder, []))
    assert list(collect(jobs, tmp_path)) == jobs[:1]
    assert "1 is not used: model.beta was 1.0 and is 2.0" in capsys.readouterr().err

    done = complete(jobs, tmp_path)
    assert [run.folder for run in done.values()] == [tmp_path / "0" / "0", tmp_path / "1" / "0"]
    assert launcher.commands[1][:2] == ["+experiment=a", "seed=1"]
    assert list(complete(jobs, tmp_path)) == jobs
    assert len(launcher.commands) == 2


def test_settings_are_compared_with_those_of_today(tmp_path: Path) -> None:
    job = ("+experiment=digits_vade", "seed=0", "trainer.precision=auto")
    config = composed([*job, "trainer.enable_progress_bar=false", "logger=csv"])
    config.model.beta = 0.125
    config.trainer.precision = "bf16-mixed"  # what this run made of auto
    del config.model.pretrain_epochs  # of a later version
    folder = RunFolder(tmp_path)
    folder.config.write_text(OmegaConf.to_yaml(config, resolve=True))
    assert changed_since(tmp_path, job) == ["model.beta was 0.125 and is 1.0"]
    assert changed_since(tmp_path / "none", job) == []


def test_a_table_of_runs_of_another_version_is_refused_by_name(
    tmp_path: Path, launcher: Launcher
) -> None:
    complete(JOBS, tmp_path)
    RunFolder(tmp_path / "0/2").provenance.write_text('{"mixvae": "0.0.7"}')
    message = rf"0/2 was made by mixvae 0\.0\.7, and this is {__version__}"
    for ask in (collect, complete):
        with pytest.raises(ValueError, match=message):
            ask(JOBS, tmp_path)
    assert len(launcher.commands) == 1
    # what this version made, and what does not say, is used
    RunFolder(tmp_path / "0/2").provenance.write_text(f'{{"mixvae": "{__version__}"}}')
    assert list(collect(JOBS, tmp_path)) == JOBS
