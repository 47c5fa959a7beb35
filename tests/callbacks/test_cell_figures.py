"""Pictures and markers of cells: by category, label and batch, with the genes' names."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mixvae.callbacks.cell_figures import CellFigures
from mixvae.callbacks.predictions import Predictions
from mixvae.contracts import Batch, DataSpec
from mixvae.evaluation.predictions import PredictionTable

N, D = 60, 8
GENES = tuple(f"Gene{i}" for i in range(D))


def data(**more: Any) -> SimpleNamespace:
    """Cells of three types, each with a gene of its own; rows of the file are 100 to 159."""
    random = np.random.default_rng(0)
    kind = np.arange(N) % 3
    x = random.poisson(0.5, (N, D)).astype(np.float32)
    x[np.arange(N), kind] += 5
    index = torch.arange(100, 100 + N)
    label = torch.from_numpy(kind)
    batches = [Batch(torch.from_numpy(x), label, index)]
    spec = DataSpec("cells", (D,), 3, ("A", "B", "C"), None, GENES)
    probs = np.eye(3, dtype=np.float32)[kind][None].repeat(2, axis=0)
    table = PredictionTable(
        index.numpy(),
        np.where(np.arange(N) < 5, -1, kind),
        probs,
        probs.argmax(-1),
        kind,
        np.zeros((2, N, 1), dtype=np.float32),
    )
    module = SimpleNamespace(spec=spec, test_dataloader=lambda: batches, **more)
    trainer = SimpleNamespace(callbacks=[], datamodule=module, loggers=[], is_global_zero=True)
    return SimpleNamespace(trainer=trainer, table=table)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_picture_is_drawn_and_markers_are_the_genes_of_their_type(tmp_path: Path) -> None:
    made = data(batch_labels=["x"] * 130 + ["y"] * 30)
    CellFigures(str(tmp_path), num_markers=2).finish(made.trainer, None, made.table)
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    drawn = ("embedding", "markers", "composition_label", "composition_batch")
    assert names == {f"{name}.png" for name in drawn}
    first = [row for row in rows(tmp_path / "markers.csv") if row["rank"] == "1"]
    assert [row["gene"] for row in first] == ["Gene0", "Gene1", "Gene2"]
    assert all(float(row["share"]) == 1 for row in first)


def test_without_batches_and_with_few_cells_shown(tmp_path: Path) -> None:
    made = data()
    CellFigures(str(tmp_path), max_cells=20).finish(made.trainer, None, made.table)
    assert not (tmp_path / "figures" / "composition_batch.png").exists()
    with pytest.raises(ValueError, match="embedding is 'tsne'; it must be pca or umap"):
        CellFigures(str(tmp_path), embedding="tsne")  # type: ignore[arg-type]


def test_predictions_have_the_names_of_cells_and_types(tmp_path: Path) -> None:
    made = data(cell_names={100 + row: f"AAAC-{row}" for row in range(N)})
    Predictions(str(tmp_path)).finish(made.trainer, None, made.table)
    found = rows(tmp_path / "predictions.csv")
    assert list(found[0])[:5] == ["index", "cell", "label", "type", "consensus"]
    assert [(row["cell"], row["type"]) for row in found[4:6]] == [("AAAC-4", ""), ("AAAC-5", "C")]
