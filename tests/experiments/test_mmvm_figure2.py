"""Figure 2's grid is relative to the data; missing files skip a data set; runs are found again."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from experiments import mmvm_figure2
from experiments.mmvm_figure2 import DATASETS, FULL, MULTIPLES, PROFILE, betas, main, settings
from mixvae.modules.beta_scan import RELATIVE
from tests.composed import composed

if TYPE_CHECKING:
    from tests.experiments.conftest import Launcher

SMALL = [
    "data.max_glyphs=600",
    "callbacks.evaluation.classifier=logistic",
    "trainer.max_epochs=1",
    "data.epoch_steps=2",
]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("dataset", DATASETS)
def test_the_settings_of_every_data_set_compose(dataset: str, full: bool) -> None:
    cfg = composed([f"+experiment={dataset}_mmvm", *settings(dataset, Path("c.h5ad"), full=full)])
    assert cfg.callbacks.checkpoints is None
    assert (cfg.trainer.accelerator == "gpu") == full
    assert dataset != "cite" or cfg.data.path.endswith("c.h5ad")
    assert {*PROFILE, *FULL} == set(DATASETS)


def test_betas_are_multiples_of_the_variance_of_the_data() -> None:
    assert set(MULTIPLES) < set(RELATIVE)
    few = ["data.max_glyphs=100"]
    single = betas("glyphs", few, [0.5, 1.0])
    triple = betas("glyphs", [*few, "model.weights={image: 3, name: 3}"], [0.5, 1.0])
    assert single[1] == pytest.approx(2 * single[0], rel=0.05)
    assert triple == pytest.approx([3 * beta for beta in single], rel=0.05)


def test_a_data_set_without_its_file_is_skipped_by_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    launcher: Launcher,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MIXVAE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(mmvm_figure2, "betas", lambda *_: [0.5, 2.0])
    given = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    given += ["--methods", "mmvm", "ae", "--seeds", "0", "--jobs", "1"]
    assert main(given) == 1
    told = capsys.readouterr().err
    assert f"polymnist is skipped: no MNIST in {tmp_path}" in told
    assert "cite is skipped: it needs --cells FILE.h5ad" in told
    with_beta, without = launcher.commands
    assert with_beta[0] == "+experiment=glyphs_mmvm"
    assert with_beta[1:4] == ["model=mmvm", "model.beta=0.5,2", "seed=0"]
    assert "model=ae" in without
    assert main([*given, "--datasets", "glyphs"]) == 0
    assert len(launcher.commands) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_two_runs_give_a_table_a_csv_and_a_figure(tmp_path: Path) -> None:
    given = ["--datasets", "glyphs", "--seeds", "0", "--jobs", "1", "--multiples", "0.1"]
    given += ["--methods", "mmvm", "independent", "--runs", "runs", "--results", "results"]
    assert main([*given, "--overrides", *SMALL]) == 0
    with (tmp_path / "results" / "glyphs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["mmvm", "independent"]
    assert all(0 < float(row["test/coherence"]) < 1 for row in rows)
    text = (tmp_path / "results" / "glyphs.md").read_text()
    assert "| method | beta | seeds | probe | shared probe | coherence |" in text
    assert (tmp_path / "results" / "glyphs.png").stat().st_size > 1000
