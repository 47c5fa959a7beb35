"""One run of each kind, end to end, in seconds: `make test-pythons` runs these on every Python."""

from __future__ import annotations

import csv
import pkgutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mixvae
from mixvae import annotate, evaluate, impute, train
from mixvae.data import __main__ as data

pytestmark = pytest.mark.smoke

TINY = ("model.agents.encoder.hidden=[16]", "model.agents.decoder.hidden=[16]", "num_threads=1")
Json = Callable[[Path], dict[str, Any]]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_module_imports() -> None:
    names = [module.name for module in pkgutil.walk_packages(mixvae.__path__, "mixvae.")]
    assert len(names) > 100
    for name in names:
        import_module(name)


@pytest.mark.slow
def test_digits_train_resume_and_evaluate_to_the_same_summary(read_json: Json) -> None:
    digits = ["+experiment=digits_cpl", "model.num_agents=2", *TINY, "run_dir=run"]
    assert train.main([*digits, "trainer.max_epochs=2"]) == 0
    assert train.main(["resume=run", "trainer.max_epochs=3"]) == 0
    assert evaluate.main(["run=run"]) == 0
    summary = read_json(Path("run/summary.json"))
    assert summary["status"] == "finished"
    assert 0 < summary["test/accuracy"] <= 1
    assert read_json(Path("run/evaluation.json"))["test/accuracy"] == summary["test/accuracy"]
    assert list(Path("run/figures").glob("*.png"))


@pytest.mark.slow
def test_cells_train_and_annotate() -> None:
    anndata = pytest.importorskip("anndata")
    made = ["simulate-cells", "out=in.h5ad", "num_cells=300", "num_genes=120", "num_types=3"]
    assert data.main(made) == 0
    cells = ["data=cells", "likelihood=gaussian", "data.path=in.h5ad", "data.layer=counts"]
    cells += ["data.label_key=type", "data.batch_size=50", "callbacks=cells", "logger=csv"]
    assert train.main([*cells, *TINY, "trainer.max_epochs=2", "run_dir=run"]) == 0
    assert annotate.main(["run=run", "data.path=in.h5ad", "out=out.h5ad"]) == 0
    found = anndata.read_h5ad("out.h5ad")
    assert found.obs["mixvae_category"].notna().all()
    assert np.isfinite(found.obsm["X_mixvae_latent"]).all()


@pytest.mark.slow
def test_several_modalities_train_and_impute() -> None:
    generator = np.random.default_rng(0)
    label = generator.integers(0, 3, 300)
    for name in "ab":
        np.save(f"{name}.npy", generator.normal(size=(300, 5)) + label[:, None])
    np.save("y.npy", label)
    views = ["+experiment=multimodal_mmvm", "data.modalities={a: a.npy, b: b.npy}"]
    views += ["data.labels=y.npy", "data.batch_size=50", "num_threads=1", "logger=csv"]
    assert train.main([*views, "trainer.max_epochs=2", "run_dir=run"]) == 0
    assert impute.main(["run=run", "data.modalities={a: a.npy}", "out=imputed.npz"]) == 0
    with np.load("imputed.npz") as imputed:
        assert np.isfinite(imputed["b/filled"]).all()


@pytest.mark.slow
def test_a_sweep_of_two_jobs() -> None:
    jobs = ["-m", "seed=0,1", *TINY, "trainer.max_epochs=1", "logger=csv", "~callbacks.figures"]
    assert train.main([*jobs, "hydra.sweep.dir=sweep"]) == 0
    with Path("sweep/sweep.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["finished", "finished"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("model.tua=1", "'model.tua'; did you mean 'model.tau'"),
        ("data=digit", "digit"),
        ("model.num_categories=1", "model.num_categories must be at least 2, got 1"),
    ],
)
def test_bad_input_is_refused(
    words: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert train.main([words]) != 0
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []
