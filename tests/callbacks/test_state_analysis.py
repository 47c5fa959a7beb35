"""The genes that a known linear decoder changes are found and written after a test."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mixvae.callbacks.state_analysis import StateAnalysis
from mixvae.contracts import Batch, DataSpec, MixturePosterior, MixtureStep

A, K, S, D, N = 3, 4, 1, 40, 240
GENES = tuple(f"gene{i}" for i in range(D))


class Known(lightning.LightningModule):
    """Reads category and state off the data, and decodes them into known genes.

    Genes 0-3 mark the category and genes 4-7 give the state; category k's programme are the genes
    10+5k to 14+5k, the first three up and the others down. Agent 1 calls the state its negative.
    """

    num_agents, num_categories, state_dim = A, K, S
    can_decode = True

    def __init__(self) -> None:
        super().__init__()
        self.category_mask = torch.ones(K, dtype=torch.bool)
        self.weight = nn.Parameter(torch.zeros(1))
        effect = torch.zeros(K, D)
        for k in range(K):
            effect[k, 10 + 5 * k : 15 + 5 * k] = torch.tensor([3.0, 2.0, 1.0, -1.5, -2.5])
        self.effect = effect
        self.sign = torch.tensor([1.0, -1.0, 1.0])[:, None, None]

    def infer(self, x: Tensor) -> MixturePosterior:
        probs = (20 * x[:, :K]).softmax(-1).expand(A, -1, -1)
        mean = self.sign * x[:, 4:8].mean(-1, keepdim=True)
        return MixturePosterior(probs, mean, torch.zeros_like(mean))

    def decode(self, category: Tensor, state: Tensor) -> Tensor:
        assert not self.training
        return category @ self.effect * (self.sign * state)

    def test_step(self, batch: Batch, batch_idx: int) -> MixtureStep:
        posterior = self.infer(batch.x)
        zeros = torch.zeros(A, len(batch.x))
        return MixtureStep(posterior, zeros, zeros)


class Cells(lightning.LightningDataModule):
    """Cells of four types with one state; indices shuffled, as a data module may give them."""

    def __init__(self, names: tuple[str, ...] = GENES, labelled: bool = True) -> None:
        super().__init__()
        self.spec = DataSpec("cells", (D,), K, tuple("abcd"), None, names)
        generator = torch.Generator().manual_seed(0)
        kind = torch.arange(N) % K
        x = 0.1 * torch.randn(N, D, generator=generator)
        x[torch.arange(N), kind] += 3
        state = torch.randn(N, 1, generator=generator)
        x[:, 4:8] += state
        x += Known().effect[kind] * state
        label = kind if labelled else torch.full_like(kind, -1)
        self.rows = list(zip(x, label, torch.randperm(N, generator=generator), strict=True))

    def test_dataloader(self) -> DataLoader[Batch]:
        def collate(rows: list[Any]) -> Batch:
            return Batch(*(torch.stack(column) for column in zip(*rows, strict=True)))

        return DataLoader(self.rows, batch_size=32, collate_fn=collate)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def analyse(tmp_path: Path, quiet_trainer):
    """Test a model with a callback and return its logged metrics."""

    def run(callback, model: Known | None = None, data: Cells | None = None) -> dict[str, float]:
        trainer = quiet_trainer(callbacks=[callback])
        trainer.test(model or Known(), datamodule=data or Cells(), verbose=False)
        return {name: float(value) for name, value in trainer.callback_metrics.items()}

    return run


def test_the_programmes_genes_are_found_in_their_order(tmp_path: Path, analyse) -> None:
    analyse(StateAnalysis(str(tmp_path), num_genes=5))
    for k in range(K):
        rows = read(tmp_path / "state_analysis" / f"category{k}.csv")
        assert len(rows) == D
        assert [int(row["rank"]) for row in rows] == list(range(1, D + 1))
        first = [(row["gene"], row["direction"], row["agents"]) for row in rows[:5]]
        genes = [10 + 5 * k + i for i in (0, 4, 1, 3, 2)]
        ways = ["up", "down", "up", "down", "up"]
        assert first == [(f"gene{g}", way, "1") for g, way in zip(genes, ways, strict=True)]
        assert all(row["direction"] == "none" for row in rows[5:])
    rows = read(tmp_path / "state_genes.csv")
    assert len(rows) == K * S * 5
    assert {row["overlap"] for row in rows} == {"1"}
    assert all(float(row["low"]) < 0 < float(row["high"]) for row in rows)
    assert {row["num_samples"] for row in rows} == {str(N // K)}
    effect = np.array([3.0, -2.5, 2.0, -1.5, 1.0])
    change = [float(row["change"]) for row in rows[:5]]
    span = float(rows[0]["high"]) - float(rows[0]["low"])
    np.testing.assert_allclose(change, effect * span, rtol=1e-4)
    with Image.open(tmp_path / "figures" / "state_genes.png") as image:
        assert image.size > (300, 200)
    assert not (tmp_path / "state_pathways.csv").exists()


def test_another_agent_tells_of_its_own_states(tmp_path: Path, analyse) -> None:
    analyse(StateAnalysis(str(tmp_path), num_genes=1, agent=1))
    rows = read(tmp_path / "state_genes.csv")
    assert [row["gene"] for row in rows] == [f"gene{10 + 5 * k}" for k in range(K)]
    assert {row["direction"] for row in rows} == {"down"}


def test_masked_and_empty_categories_are_left_out_and_old_files_removed(
    tmp_path: Path, analyse
) -> None:
    callback = StateAnalysis(str(tmp_path))
    analyse(callback)
    model, data = Known(), Cells()
    model.category_mask[1] = False
    data.rows = [row for row in data.rows if row[1] != 2]
    analyse(callback, model, data)
    files = sorted(path.name for path in (tmp_path / "state_analysis").iterdir())
    assert files == ["category0.csv", "category3.csv"]
    assert {row["category"] for row in read(tmp_path / "state_genes.csv")} == {"0", "3"}


def test_gene_sets_are_scored_and_strangers_named_once(
    tmp_path: Path, analyse, caplog: pytest.LogCaptureFixture
) -> None:
    sets = tmp_path / "sets.gmt"
    sets.write_text(
        "type one\t\t" + "\t".join(GENES[15:20]) + "\nabsent\t\tXist\nquiet\t\tgene0\tgene1\n"
    )
    callback = StateAnalysis(str(tmp_path), gene_sets=str(sets))
    with caplog.at_level(logging.WARNING, "mixvae"):
        analyse(callback)
        analyse(callback)
    assert [record.getMessage() for record in caplog.records] == [
        "gene sets with no gene in the data: absent"
    ]
    rows = read(tmp_path / "state_pathways.csv")
    assert len(rows) == K * 2
    best = {row["category"]: row["set"] for row in rows if float(row["z"]) > 2}
    assert best == {"1": "type one"}
    (row,) = (row for row in rows if row["category"] == "1" and row["set"] == "type one")
    assert row["num_genes"] == "5"
    assert float(row["inside"]) > float(row["outside"]) == 0


@pytest.mark.parametrize("why", ["no names", "no cells"])
def test_without_genes_or_cells_it_says_so_and_writes_nothing(
    tmp_path: Path, analyse, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = Cells(names=()) if why == "no names" else Cells()
    few = 10 if why == "no names" else N
    with caplog.at_level(logging.INFO, "mixvae"):
        analyse(StateAnalysis(str(tmp_path), min_samples=few), data=data)
    assert "no state analysis" in caplog.text
    assert not list(tmp_path.iterdir())


def test_what_only_model_and_data_can_tell_is_refused_at_setup(tmp_path: Path, analyse) -> None:
    with pytest.raises(ValueError, match="agent is 3, but the agents are numbered from 0 to 2"):
        analyse(StateAnalysis(str(tmp_path), agent=3))
    (tmp_path / "a.gmt").write_text("absent\t\tXist\n")
    with pytest.raises(ValueError, match="no gene of the 1 gene sets is among the data's genes"):
        analyse(StateAnalysis(str(tmp_path), gene_sets=str(tmp_path / "a.gmt")))
    with pytest.raises(FileNotFoundError, match="no file of gene sets"):
        StateAnalysis(str(tmp_path), gene_sets=str(tmp_path / "b.gmt"))


class Ignoring(Known):
    """A decoder that ignores the state of category 1."""

    def decode(self, category: Tensor, state: Tensor) -> Tensor:
        decoded = super().decode(category, state)
        return decoded * (category.argmax(-1, keepdim=True) != 1)


def test_a_state_that_carries_nothing_is_flagged_and_not_ranked(
    tmp_path: Path, analyse, caplog: pytest.LogCaptureFixture
) -> None:
    analyse(StateAnalysis(str(tmp_path), num_genes=2), Ignoring())
    found = {row["category"]: row["finding"] for row in read(tmp_path / "states.csv")}
    assert found == {"0": "", "1": "dead", "2": "", "3": ""}
    assert {row["category"] for row in read(tmp_path / "state_genes.csv")} == {"0", "2", "3"}
    assert "1 of 4 states carry nothing: category 1 (state 0)" in caplog.text


def test_a_state_of_two_groups_or_of_a_few_cells_is_flagged_and_listed(
    tmp_path: Path, analyse, caplog: pytest.LogCaptureFixture
) -> None:
    data = Cells()
    effect = Known().effect
    for place, (x, label, _) in enumerate(data.rows):
        if label == 2:
            shift = 4.0 if place % 8 < 4 else -4.0
        elif label == 3 and place < 8:
            shift = 40.0
        else:
            continue
        x[4:8] += shift
        x += effect[label] * shift
    analyse(StateAnalysis(str(tmp_path), num_genes=2), data=data)
    found = {row["category"]: row["finding"] for row in read(tmp_path / "states.csv")}
    assert found == {"0": "", "1": "", "2": "bimodal", "3": "few"}
    rows = read(tmp_path / "state_genes.csv")
    assert {(row["category"], row["finding"]) for row in rows} >= {("2", "bimodal"), ("3", "few")}
    assert "1 of 4 states may be two types: category 2 (state 0)" in caplog.text
    assert "1 of 4 states are made by a handful of samples: category 3" in caplog.text
