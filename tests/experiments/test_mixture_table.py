"""One multirun for each data set, then means and deviations over seeds, and a traversal each."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from experiments import mixture_table
from experiments.mixture_table import jobs, mixed, table
from experiments.multiruns import Run
from mixvae.sweeps.tables import JobRecord

if TYPE_CHECKING:
    from tests.experiments.conftest import Launcher


def run(accuracy: float, **more: float) -> Run:
    metrics = {"test/accuracy": accuracy, "seconds": 30.0, "epochs": 20.0}
    metrics |= {f"test/{name}": value for name, value in more.items()}
    return Run(Path("0"), JobRecord("0", [], "finished", metrics=metrics))


RUNS = {
    ("imsat", 0): run(0.9),
    ("cpl", 0): run(0.8, reconstruction=80.0),
    ("cpl", 1): run(1.0, reconstruction=82.0),
}


def test_a_row_for_each_method_a_column_for_what_some_method_has() -> None:
    assert table(RUNS).splitlines() == [
        "| method | seeds | accuracy | reconstruction (nats) | seconds per epoch | epochs"
        " | encoder |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| cpl | 0 1 | 0.900 ± 0.141 | 81.0 ± 1.4 | 1.50 ± 0.00 | 20 |  |",
        "| imsat | 0 | 0.900 |  | 1.50 | 20 |  |",
    ]


def test_the_profiles_change_no_setting() -> None:
    assert list(jobs("digits", ["cpl", "vade"], [0, 1], []).values()) == [
        ("seed=0", "+experiment=digits_cpl"),
        ("seed=0", "+experiment=digits_vade"),
        ("seed=1", "+experiment=digits_cpl"),
        ("seed=1", "+experiment=digits_vade"),
    ]
    (job,) = jobs("dsprites_rendered", ["cpl"], [3], ["num_threads=1"]).values()
    assert job == (
        "seed=3",
        "+experiment=dsprites_cpl",
        "data=dsprites_rendered",
        "networks=mlp_centred",
        "num_threads=1",
    )


def test_each_data_set_is_one_multirun(tmp_path: Path, launcher: Launcher) -> None:
    def measured(said: dict[str, str]) -> dict[str, float]:
        score = {"test/factor_vae": 0.7} if "dsprites" in said["experiment"] else {}
        return {"test/accuracy": 0.9, "seconds": 60.0, "epochs": 10, **score}

    launcher.metrics = measured
    given = ["--profile", "full", "--methods", "cpl", "imsat", "--seeds", "0", "1", "--jobs", "2"]
    given += ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path), "--no-traversals"]
    assert mixture_table.main(given) == 0
    assert [command[:2] for command in launcher.commands] == [
        ["seed=0,1", "+experiment=digits_cpl,digits_imsat"],
        ["seed=0,1", "+experiment=mnist_cpl,mnist_imsat"],
        ["seed=0,1", "+experiment=dsprites_cpl,dsprites_imsat"],
    ]
    assert all("hydra.launcher.n_jobs=2" in command for command in launcher.commands)
    assert "data=dsprites_rendered" in launcher.commands[2]
    assert "FactorVAE" not in (tmp_path / "mnist.md").read_text()
    lines = (tmp_path / "dsprites_rendered.md").read_text().splitlines()
    assert lines[0].startswith("`python -m experiments.mixture_table --profile full")
    assert "| cpl | 0 1 | 0.900 ± 0.000 | 0.700 ± 0.000 | 6.00 ± 0.00 | 10 |  |" in lines
    with (tmp_path / "digits.csv").open() as file:
        rows = [(row["method"], row["seed"]) for row in csv.DictReader(file)]
    assert rows == [("cpl", "0"), ("cpl", "1"), ("imsat", "0"), ("imsat", "1")]
    assert (tmp_path / "mnist.png").stat().st_size > 1000


def test_own_settings_are_a_table_of_their_own(tmp_path: Path, launcher: Launcher) -> None:
    launcher.metrics = lambda said: {"test/accuracy": 0.9, "seconds": 60.0, "epochs": 10}
    given = ["--datasets", "mnist", "--settings", "equal", "own", "--methods", "mix_vae", "vade"]
    given += ["--seeds", "0", "--runs", str(tmp_path / "runs"), "--results", str(tmp_path)]
    assert mixture_table.main([*given, "--jobs", "1", "--no-traversals"]) == 0
    assert [command[:2] for command in launcher.commands] == [
        ["seed=0", "+experiment=mnist_mix_vae,mnist_vade"],
        ["seed=0", "+experiment=mnist_vade_paper"],  # one agent has no paper
    ]
    equal, own = ((tmp_path / f"mnist{end}.md").read_text() for end in ("", "_own"))
    assert "\nEqual budget: " in equal
    assert "| mix_vae | 0 |" in equal
    assert "\nOwn settings: " in own
    assert "| vade | 0 |" in own
    assert "mix_vae |" not in own
    assert (tmp_path / "mnist_own.csv").is_file()
    # Networks that a table of equal ones sets are not those of a method's own code.
    assert not jobs("dsprites", ["vade"], [0], [], "own")


def test_missing_runs_are_told_by_the_exit_status(
    tmp_path: Path, launcher: Launcher, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher.failing = {"+experiment=digits_vade"}
    launcher.metrics = lambda said: {"test/accuracy": 0.9, "seconds": 60.0, "epochs": 10}
    given = ["--methods", "cpl", "vade", "--seeds", "0", "--runs", str(tmp_path / "runs")]
    assert mixture_table.main([*given, "--results", str(tmp_path), "--no-traversals"]) == 1
    assert "1 of 2 runs are missing" in capsys.readouterr().err
    assert "vade" not in (tmp_path / "digits.md").read_text().split("\n", 1)[1]

    launcher.failing = set()
    given += ["--results", str(tmp_path), "--no-traversals"]
    assert mixture_table.main([*given, "--collect"]) == 1
    assert len(launcher.commands) == 1
    assert mixture_table.main(given) == 0


def test_seeds_of_other_settings_are_told(tmp_path: Path) -> None:
    def trained(name: str, text: str) -> Run:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.yaml").write_text(f"name: {name}\n{text}")
        return Run(folder, RUNS["cpl", 0].record)

    agents = "agents: {encoder: {_target_: a.CentredEncoder, hidden: [8, 4]}}"
    runs = {
        ("cpl", 0): trained("a", f"data: {{seed: 0}}\nmodel: {{beta: 1, tau: 1, {agents}}}\n"),
        ("cpl", 1): trained("b", f"data: {{seed: 1}}\nmodel: {{beta: 2, tau: 1, {agents}}}\n"),
        ("vade", 0): trained("c", "model: {beta: 1}\n"),
        ("vade", 1): trained("d", "model: {beta: 1, new: 3}\n"),
    }
    assert mixed(runs) == ["cpl: its seeds differ in model.beta"]
    assert table(runs).splitlines()[2].endswith("| centred 8-4 |")


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_real_runs_end_in_a_table_and_traversals(tmp_path: Path) -> None:
    given = ["--methods", "cpl", "imsat", "--seeds", "0", "--runs", "runs", "--results", "results"]
    small = ["trainer.max_epochs=1", "trainer.limit_train_batches=2"]
    assert mixture_table.main([*given, "--jobs", "1", "--overrides", *small]) == 0
    text = (tmp_path / "results" / "digits.md").read_text()
    assert "| cpl | 0 |" in text
    assert "| imsat | 0 |" in text
    # The table tells where a method's encoder is another one.
    assert text.count("| 128-128-64 |") == text.count("| 600-600 |") == 1
    pictures = [path.name for path in (tmp_path / "results" / "traversals").iterdir()]
    assert pictures == ["digits_cpl.png"]
