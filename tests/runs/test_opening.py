"""Evaluate, annotate and impute use the same weights of a run, in whatever state it stopped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mixvae import evaluate
from mixvae.cli.run_requests import AnnotateOptions, EvaluateRequest, ImputeOptions, RunRequest
from mixvae.runs.annotating import open_annotator
from mixvae.runs.imputing import open_imputer
from mixvae.runs.opening import open_trained

Run = Callable[..., Path]
CELLS = (
    *("data=cells_synthetic", "data.num_cells=300", "data.num_genes=120", "data.num_types=3"),
    *("data.batch_size=50", "model.num_categories=3", "likelihood=gaussian"),
)
# test_checkpoint of the config, tested_checkpoint of the summary, checkpoints there, the one used
STATES = {
    "finished": ("best", "best", ("best", "last"), "best"),
    "finished, last tested": ("last", "last", ("best", "last"), "last"),
    "finished, then another config": ("last", "best", ("best", "last"), "best"),
    "pruning finished": ("selected", "selected", ("best", "last", "selected"), "selected"),
    "stopped": ("best", None, ("best", "last"), "best"),
    "stopped, last would be tested": ("last", None, ("best", "last"), "last"),
    "stopped before a best": ("best", None, ("last",), "last"),
    "pruning stopped before its test": ("selected", None, ("best", "last", "selected"), "selected"),
    "pruning stopped": ("selected", None, ("best", "last"), "best"),
}


def put_into_state(
    folder: Path, wanted: str, tested: str | None, there: tuple[str, ...]
) -> dict[str, bytes]:
    """Rewrite a finished run, each of its checkpoints with weights of its own."""
    config = folder / "config.yaml"
    config.write_text(
        config.read_text().replace("test_checkpoint: best", f"test_checkpoint: {wanted}")
    )
    summary = json.loads((folder / "summary.json").read_text())
    summary["tested_checkpoint"] = None if tested is None else f"checkpoints/{tested}.ckpt"
    summary["status"] = "interrupted" if tested is None else "finished"
    (folder / "summary.json").write_text(json.dumps(summary))
    content = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    shutil.rmtree(folder / "checkpoints")
    (folder / "checkpoints").mkdir()
    name = next(name for name in content["state_dict"] if name.endswith("weight"))
    for number, checkpoint in enumerate(there):
        content["state_dict"][name].fill_(number / 100)
        torch.save(content, folder / "checkpoints" / f"{checkpoint}.ckpt")
    return {name: (folder / "checkpoints" / f"{name}.ckpt").read_bytes() for name in there}


def assert_loaded(model: torch.nn.Module, checkpoint: Path) -> None:
    wanted = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("wanted", "tested", "there", "used"), STATES.values(), ids=STATES.keys())
def test_one_checkpoint_is_used(
    run: Run, wanted: str, tested: str | None, there: tuple[str, ...], used: str
) -> None:
    folder = run("a", *CELLS)
    put_into_state(folder, wanted, tested, there)
    path = folder / "checkpoints" / f"{used}.ckpt"
    for request in (EvaluateRequest(run=folder), ImputeOptions(run=folder)):
        assert open_trained(request).checkpoint == path
    assert_loaded(open_annotator(AnnotateOptions(run=folder)).model, path)
    asked = open_trained(RunRequest(run=folder, checkpoint="last"))
    assert asked.checkpoint_name == "checkpoints/last.ckpt"


def test_evaluate_tests_the_weights_that_annotate_uses(run: Run) -> None:
    folder = run("a", *CELLS)
    put_into_state(folder, "selected", None, ("best", "last", "selected"))
    assert evaluate.main([f"run={folder}"]) == 0
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["checkpoint"] == "checkpoints/selected.ckpt"
    assert evaluate.main([f"run={folder}", "checkpoint=best"]) == 0
    path = folder / "evaluations" / "best" / "evaluation.json"
    assert json.loads(path.read_text())["test/accuracy"] != found["test/accuracy"]


def test_impute_uses_the_weights_that_evaluate_tests(train: Callable[..., object]) -> None:
    array = np.random.default_rng(0).normal(size=(100, 4)).astype("f4")
    np.save("a.npy", array)
    settings = ("networks=modality_mlp_small", "likelihood=squared_error", "logger=csv")
    sizes = ("data.batch_size=20", "trainer.max_epochs=1", "callbacks.figures=null")
    sizes += ("model.beta=1", "report=false")
    files = "data.modalities={a: a.npy, b: a.npy}"
    made = train("+experiment=multimodal_mmvm", *settings, *sizes, files, "run_dir=views")
    assert made.status == 0, made.err
    folder = Path("views").absolute()
    put_into_state(folder, "best", None, ("best", "last"))
    assert evaluate.main([f"run={folder}"]) == 0
    checkpoint = json.loads((folder / "evaluation.json").read_text())["checkpoint"]
    assert_loaded(open_imputer(ImputeOptions(run=folder)).model, folder / checkpoint)
