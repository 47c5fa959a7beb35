"""Finds after a test the genes that each category's state changes, for tables and a heat map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray

from mixvae.callbacks.collecting import (
    AbstractPredictionCallback,
    decode_mixture,
    find_samples,
    spec_of,
)
from mixvae.callbacks.pictures import save_pictures
from mixvae.callbacks.settings import check_least
from mixvae.contracts import DataSpec, MixtureModel
from mixvae.evaluation.gene_sets import find_members, read_gene_sets, score_sets
from mixvae.evaluation.predictions import PredictionTable
from mixvae.evaluation.state_findings import (
    MEANING,
    Finding,
    decoded_positions,
    effective_number,
    gain_score,
    judge_state,
)
from mixvae.evaluation.traversal import (
    StateTraversal,
    overlap_at,
    rank_features,
    top_share,
    traverse_states,
)
from mixvae.figures.genes import state_genes
from mixvae.files import write_table
from mixvae.messages import inform, warn

Row = Sequence[Any]
Rows = NDArray[np.integer[Any]]
PATH_STEPS = 65  # states between the smallest and the largest of a category, decoded
MAX_JUDGED = 500  # samples of a category that are decoded to judge its states


class StateAnalysis(AbstractPredictionCallback):
    """Write the genes that each category's state changes, for data whose features have names.

    For every kept category, each state dimension is moved over its range among the test samples
    of the category and decoded; see `evaluation.traversal`. Files, in `dirpath`:

    - `state_analysis/category<k>.csv`: all genes by state dimension and rank,
    - `state_genes.csv`: the first `num_genes` of each category and live state dimension,
    - `states.csv`: a line for each, with its `finding`, see `evaluation.state_findings`,
    - `state_pathways.csv`: the score of each gene set, if `gene_sets` is given,
    - `figures/state_genes.png`.

    `change` is in the unit of the data, above 0 for a gene that rises with the state; the sign of a
    state is arbitrary. `agents` is the share of the other agents that have the gene among the first
    of the category, `overlap` its mean over the agent's own first genes.

    Args:
        num_genes: Genes that count as a category's first.
        gene_sets: File of gene sets, .gmt or .toml; none by default.
        agent: Agent whose states are analysed.
        num_steps: Values of a state over its range, at least 2.
        min_samples: Test samples that a category needs.
    """

    def __init__(
        self,
        dirpath: str,
        num_genes: int = 20,
        gene_sets: str | None = None,
        agent: int = 0,
        num_steps: int = 9,
        min_samples: int = 10,
    ) -> None:
        super().__init__(dirpath)
        check_least("state_analysis", 0, agent=agent)
        check_least("state_analysis", 1, num_genes=num_genes)
        check_least("state_analysis", 2, num_steps=num_steps, min_samples=min_samples)
        self.num_genes, self.agent = num_genes, agent
        self.num_steps, self.min_samples = num_steps, min_samples
        self.gene_sets = {} if gene_sets is None else read_gene_sets(Path(gene_sets).expanduser())
        self._warned = False
        self._findings: dict[tuple[int, int], Finding] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Reject before training an unknown agent and gene sets without a gene of the data."""
        assert isinstance(pl_module, MixtureModel)
        if self.agent >= pl_module.num_agents:
            raise ValueError(
                f"callbacks.state_analysis.agent is {self.agent}, but the agents are numbered"
                f" from 0 to {pl_module.num_agents - 1}"
            )
        genes = spec_of(trainer, DataSpec).feature_names
        if not self.gene_sets or not genes:
            return
        found = np.any(find_members(self.gene_sets, genes), axis=1)
        empty = [name for name, some in zip(self.gene_sets, found, strict=True) if not some]
        if not found.any():
            raise ValueError(
                f"no gene of the {len(found)} gene sets is among the data's genes; the sets have"
                f" {next(iter(self.gene_sets.values()))[0]!r}, the data {genes[0]!r}"
            )
        if empty and not self._warned:
            warn(f"gene sets with no gene in the data: {', '.join(empty)}")
        self._warned = True

    def finish(self, trainer: Trainer, model: Any, table: PredictionTable) -> None:
        """Analyse and write."""
        assert isinstance(model, MixtureModel)
        genes = spec_of(trainer, DataSpec).feature_names
        if not genes or model.state_dim == 0:
            why = "the model has state_dim 0" if genes else "the features have no names"
            inform(f"no state analysis: {why}")
            return
        traversal = self._traverse(model, table)
        if len(traversal.category) == 0:
            few = f"has no category with {self.min_samples} test samples"
            warn(f"no state analysis: agent {self.agent} {few}")
            return
        self._findings = self._judge(trainer, model, table, traversal)
        self._write_tables(traversal, genes)
        self._draw(trainer, traversal, genes)

    def _traverse(self, model: MixtureModel, table: PredictionTable) -> StateTraversal:
        """Traverse the categories that are kept and hold enough samples."""
        count = np.bincount(table.category[self.agent], minlength=model.num_categories)
        kept = model.category_mask.cpu().numpy() & (count >= self.min_samples)

        def decode(probs: NDArray[np.float32], state: NDArray[np.float32]) -> NDArray[np.float32]:
            decoded = decode_mixture(model, probs, state)
            return decoded.reshape(*decoded.shape[:2], -1)

        return traverse_states(
            decode,
            table.category,
            table.state_mean,
            np.flatnonzero(kept).tolist(),
            model.num_categories,
            num_steps=self.num_steps,
            min_samples=self.min_samples,
        )

    def _judge(
        self, trainer: Trainer, model: Any, table: PredictionTable, traversal: StateTraversal
    ) -> dict[tuple[int, int], Finding]:
        """Judge each state of each category, write `states.csv` and warn of the findings."""
        found: dict[tuple[int, int], Finding] = {}
        rows: list[Row] = []
        for j, k in enumerate(traversal.category.tolist()):
            members = np.flatnonzero(table.category[self.agent] == k)
            states = table.state_mean[self.agent][members]
            scores = self._scores(trainer, model, table, members[:MAX_JUDGED], k)
            for state in range(states.shape[1]):
                score = scores[state] if scores else None
                positions = self._positions(model, states, k, state)
                finding = judge_state(states[:, state], score, self.min_samples, positions)
                found[k, state] = finding
                change = float(np.abs(traversal.change[self.agent, j, state]).max(initial=0))
                own = effective_number(states[:, state])
                gain = "" if score is None else _text(score)
                rows.append([k, state, len(members), _text(own), _text(change), gain, finding])
        header = ["category", "state", "num_samples", "effective_number", "largest_change"]
        write_table(self.dirpath / "states.csv", [*header, "gain_score", "finding"], rows)
        for finding, meaning in MEANING.items():
            places = [f"{k} (state {s})" for (k, s), own in found.items() if own == finding]
            if places:
                warn(
                    f"{len(places)} of {len(found)} states {meaning}: category {', '.join(places)}"
                )
        return found

    def _positions(
        self, model: Any, states: NDArray[np.float32], k: int, state: int
    ) -> NDArray[np.float64]:
        """Positions of the samples of a category, (N, S), along a decoded state dimension."""
        own = states[:, state]
        grid = np.linspace(own.min(), own.max(), PATH_STEPS)
        path = np.repeat(states.mean(axis=0, keepdims=True), PATH_STEPS, axis=0)
        path[:, state] = grid
        decoded = decode_mixture(
            model,
            np.eye(model.num_categories, dtype=np.float32)[np.full(PATH_STEPS, k)],
            np.repeat(path[None], model.num_agents, axis=0),
        )[self.agent]
        return decoded_positions(own, grid, decoded.reshape(PATH_STEPS, -1))

    def _scores(
        self, trainer: Trainer, model: Any, table: PredictionTable, members: Rows, k: int
    ) -> list[float]:
        """How surely each state improves the decoding; empty if no sample is at hand."""
        samples = find_samples(trainer, set(table.index[members].tolist()))
        here = [n for n in members.tolist() if int(table.index[n]) in samples]
        if len(here) < 2:
            return []
        x = np.stack([samples[int(table.index[n])][0].ravel() for n in here])
        states = table.state_mean[:, here]
        one_hot = np.eye(model.num_categories, dtype=np.float32)[np.full(len(here), k)]

        def decode(state: NDArray[np.float32]) -> NDArray[np.float32]:
            return decode_mixture(model, one_hot, state)[self.agent].reshape(len(here), -1)

        own, scores = decode(states), []
        for state in range(states.shape[2]):
            without = states.copy()
            without[..., state] = states[..., state].mean(axis=1, keepdims=True)
            scores.append(gain_score(own, decode(without), x))
        return scores

    def _write_tables(self, traversal: StateTraversal, genes: Sequence[str]) -> None:
        company = top_share(traversal, self.num_genes, self.agent)
        overlap = overlap_at(traversal, self.num_genes, self.agent)
        header = ["state", "rank", "gene", "change", "direction", "agents"]
        for stale in (self.dirpath / "state_analysis").glob("category*.csv"):
            stale.unlink()
        first: list[Row] = []
        for j, k in enumerate(traversal.category.tolist()):
            change = traversal.change[self.agent, j]
            rows = list(_ranked(change, genes, company[j]))
            write_table(self.dirpath / "state_analysis" / f"category{k}.csv", header, rows)
            ends = traversal.low[self.agent, j], traversal.high[self.agent, j]
            for row in rows:
                state, rank = row[:2]
                if rank <= self.num_genes and self._findings[k, state] != "dead":
                    where = [_text(end[state]) for end in ends]
                    number = int(traversal.num_samples[self.agent, j])
                    finding = self._findings[k, state]
                    first.append([k, *row, number, *where, _text(overlap[j]), finding])
        longer = ["category", *header, "num_samples", "low", "high", "overlap", "finding"]
        write_table(self.dirpath / "state_genes.csv", longer, first)
        if self.gene_sets:
            pathways = list(self._score(traversal, genes))
            titles = ["category", "state", "set", "num_genes", "inside", "outside", "z"]
            write_table(self.dirpath / "state_pathways.csv", titles, pathways)

    def _score(self, traversal: StateTraversal, genes: Sequence[str]) -> Iterator[Row]:
        members, names = find_members(self.gene_sets, genes), list(self.gene_sets)
        for j, k in enumerate(traversal.category.tolist()):
            for state, change in enumerate(traversal.change[self.agent, j]):
                for score in score_sets(change, members, names):
                    measures = (score.inside, score.outside, score.z)
                    yield [k, state, score.name, score.num_genes, *map(_text, measures)]

    def _draw(self, trainer: Trainer, traversal: StateTraversal, genes: Sequence[str]) -> None:
        change = traversal.change[self.agent].copy()
        for (k, state), finding in self._findings.items():
            if finding == "dead":
                change[traversal.category == k, state] = 0
        live = np.abs(change).max(axis=(1, 2), initial=0) > 0
        if not live.any():
            inform("no picture of the states' genes: no state carries anything")
            return
        change, categories = change[live], traversal.category[live].tolist()
        # The dimension that moves the gene most, with its sign.
        leading = np.abs(change).argmax(axis=1)[:, None]
        shown = np.take_along_axis(change, leading, axis=1)[:, 0]
        figure = state_genes(shown, categories, genes)
        save_pictures(trainer, self.dirpath, iter([("state_genes", figure)]))


def _ranked(
    change: NDArray[np.float32], genes: Sequence[str], company: NDArray[np.float64]
) -> Iterator[Row]:
    """Yield the genes of a category, (S, D), by state dimension and rank."""
    for state, order in enumerate(rank_features(change)):
        for rank, gene in enumerate(order.tolist(), start=1):
            value = float(change[state, gene])
            direction = "up" if value > 0 else "down" if value < 0 else "none"
            yield [state, rank, genes[gene], _text(value), direction, _text(company[gene])]


def _text(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"
