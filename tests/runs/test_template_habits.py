"""Debug options, further loggers, warm starts, runs without a test, compiling, `--key=value`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import torch
from torch import nn

from mixvae.cli.command import Command, parse
from mixvae.cli.compose import compose_jobs
from mixvae.engine import compiling
from mixvae.engine.compiling import compile_networks
from mixvae.runs.build import build
from mixvae.runs.warm_start import read_weights, start_from

Train = Callable[..., Any]
Make = Callable[..., Path]
Read = Callable[[Path], dict[str, Any]]


def config(*lines: str) -> Any:
    (job,) = compose_jobs(Command(list(lines)))
    return job.cfg


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("fast", "fast_dev_run", True),
        ("limit", "limit_train_batches", 5),
        ("overfit", "overfit_batches", 3),
        ("profile", "profiler", "simple"),
    ],
)
def test_a_debug_option_changes_the_trainer(name: str, key: str, value: object) -> None:
    assert config(f"debug={name}").trainer[key] == value


def test_what_overfits_sees_the_same_batches_in_every_epoch(tmp_path: Path) -> None:
    parts = build(config("debug=overfit", f"run_dir={tmp_path}", "num_threads=1"))
    parts.data.trainer = parts.trainer
    loader = parts.data.train_dataloader()
    orders = []
    for epoch in (0, 5):
        loader.sampler.set_epoch(epoch)
        orders.append(loader.sampler.permuted())
    assert torch.equal(*orders)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fast", "limit", "profile"])
def test_each_debug_option_runs(train: Train, small: tuple[str, ...], name: str) -> None:
    outcome = train(*small, f"debug={name}", "run_dir=a", "trainer.max_epochs=1")
    assert outcome.status == 0, outcome.err


def test_a_flag_and_dashes_are_read_as_before() -> None:
    found = parse(["debug=true", "--model.tau=0.5", "--seed=3", "--config-name=train"])
    assert found.overrides == ["traceback=true", "model.tau=0.5", "seed=3"]
    assert found.config_name == "train"
    assert config(*found.overrides).traceback is True


def test_several_loggers_may_be_named() -> None:
    assert set(config("logger=[csv,wandb]").logger) == {"wandb"}
    assert set(config("logger=[csv,tensorboard,mlflow]").logger) == {"tensorboard", "mlflow"}


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_logger_is_named_with_its_remedy(
    train: Train, small: tuple[str, ...], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixvae.engine.other_loggers.find_spec", lambda _: None)
    outcome = train(*small, f"logger={name}", "run_dir=a")
    assert outcome.status == 1
    assert f"logger={name} needs {name}: pip install {name}" in outcome.err
    assert not Path("a").exists()


@pytest.mark.slow  # MLflow makes a database
@pytest.mark.filterwarnings("ignore:.*noload:DeprecationWarning")  # MLflow with SQLAlchemy 2.1
def test_tensorboard_and_mlflow_are_given_the_metrics_and_the_config(
    train: Train, small: tuple[str, ...], tmp_path: Path
) -> None:
    for package in ("tensorboard", "mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(package)
    lines = [one for one in small if not one.startswith("logger=")]
    outcome = train(*lines, "logger=[tensorboard,mlflow]", "run_dir=a", "model.tau=0.7")
    assert outcome.status == 0, outcome.err
    assert list((tmp_path / "a" / "tensorboard").glob("events*"))
    hparams = (tmp_path / "a" / "tensorboard" / "hparams.yaml").read_text()
    assert "model.tau=0.7" in hparams
    assert "num_parameters" in hparams
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        metrics = {name for (name,) in database.execute("select key from metrics")}
        params = dict(database.execute("select key, value from params"))
    assert {"val/loss", "test/accuracy"} <= metrics
    assert params["model/tau"] == "0.7"
    assert {"run/num_parameters", "run/data_sizes", "run/git_commit"} <= set(params)


def test_a_run_without_a_test_is_evaluated_later(run: Make, read_json: Read) -> None:
    summary = read_json(run("a", "test=false") / "summary.json")
    assert summary["status"] == "finished"
    assert "val/accuracy" in summary
    assert not [name for name in summary if name.startswith("test/")]


def test_a_warm_start_takes_the_weights_of_a_run(
    run: Make, train: Train, small: tuple[str, ...]
) -> None:
    folder = run("a")
    rested = "model.optimizer.lr=1e-30"  # what training changes is far below the last digit
    outcome = train(*small, f"init_from={folder}", rested, "trainer.max_epochs=1", "run_dir=b")
    assert outcome.status == 0, outcome.err
    path, weights = read_weights(str(folder))
    assert path == folder / "checkpoints" / "best.ckpt"
    started = torch.load(Path("b/checkpoints/last.ckpt"), weights_only=True)["state_dict"]
    name = "agents.encoder.layers.0.weight"
    same = [key for key in weights if key.endswith("weight") and key in started]
    assert same, name
    assert all(torch.equal(weights[key], started[key]) for key in same)
    assert f"{len(weights)} of {len(weights)} tensors loaded" in outcome.err


def test_a_warm_start_says_what_it_did_not_load(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="mixvae")
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    weights = {**nn.Sequential(nn.Linear(2, 3)).state_dict(), "old": torch.ones(1)}
    start_from(model, Path("a.ckpt"), weights)
    assert torch.equal(model[0].weight, weights["0.weight"])
    assert [one.message for one in caplog.records] == [
        "init_from a.ckpt: 2 of 4 tensors loaded",
        "init_from: 1.weight, 1.bias start afresh, as the checkpoint lacks them",
        "init_from: old of the checkpoint have no place in this model",
    ]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"weight": torch.ones(3, 5)}, r"weight has the shape \(3, 5\), in this run \(3, 2\)"),
        ({"other": torch.ones(3)}, "is of another model: it holds other, this run's has weight"),
    ],
)
def test_foreign_weights_are_refused(weights: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        start_from(nn.Linear(2, 3), Path("a.ckpt"), weights)


def test_where_nothing_can_be_compiled_the_model_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> object:
        raise RuntimeError("no compiler\nand more")

    monkeypatch.setattr(compiling.torch, "compile", fail)
    assert not compile_networks(nn.Sequential(nn.Linear(2, 2)))
    assert "torch.compile does not work here (no compiler)" in caplog.text


@pytest.mark.slow
@pytest.mark.skipif(not (which("g++") or which("clang++")), reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # PyTorch's own compiler
@pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning")  # Python 3.13.0
def test_compiled_networks_compute_the_same_under_the_same_names() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    names, x = list(model.state_dict()), torch.randn(5, 3)
    plain = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    assert compile_networks(model)
    compiled = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    assert list(model.state_dict()) == names
    for a, b in zip(plain, compiled, strict=True):
        torch.testing.assert_close(a, b)


def test_a_machine_without_mps_says_so(train: Train, small: tuple[str, ...]) -> None:
    if torch.backends.mps.is_available():
        pytest.skip("this machine has one")
    outcome = train(*small, "trainer=mps", "run_dir=a")
    assert outcome.status == 1
    assert "MPS" in outcome.err
    assert "Traceback" not in outcome.err
