"""Draws the figures of a run after its test, into the run folder and to every logger that can."""

from __future__ import annotations

from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from numpy.typing import NDArray

from mixvae.callbacks.collecting import (
    AbstractPredictionCallback,
    decode_mixture,
    find_samples,
    logged_curves,
    spec_of,
)
from mixvae.callbacks.pictures import NamedFigures, save_pictures
from mixvae.callbacks.settings import check_least
from mixvae.contracts import DataSpec, MixtureModel
from mixvae.evaluation.clustering import clustering_accuracy, order_by_class
from mixvae.evaluation.consensus import mean_consensus_matrix
from mixvae.evaluation.mixture import MixtureCounts
from mixvae.evaluation.predictions import PredictionTable, tabulate
from mixvae.evaluation.risk_coverage import accuracy_at_coverage, is_correct
from mixvae.figures.curves import learning_curves
from mixvae.figures.samples import category_samples, reconstructions, traversal
from mixvae.figures.scatter import state_scatter
from mixvae.figures.style import value_limits
from mixvae.figures.tables import (
    category_label_table,
    consensus_matrix,
    risk_coverage,
    samples_per_category,
)
from mixvae.files import replacing

MAX_FEATURES = 30  # whose names can be read


class Figures(AbstractPredictionCallback):
    """Draw `figures/*.png` at the end of a test, the learning curves from `metrics.csv`.

    Predictions are gathered from all ranks; samples shown are those of the first rank.

    Args:
        samples_per_category: Real samples shown for each category.
        traversal_steps: Values shown of a state, from its 5th to its 95th percentile in the data.
        max_categories: Categories shown where each takes a row: the most populated ones.
        max_states: State dimensions that get a traversal: the first ones.
    """

    def __init__(
        self,
        dirpath: str,
        samples_per_category: int = 10,
        traversal_steps: int = 9,
        max_categories: int = 20,
        max_states: int = 20,
    ) -> None:
        super().__init__(dirpath)
        check_least("figures", 1, samples_per_category=samples_per_category)
        check_least("figures", 2, traversal_steps=traversal_steps)
        check_least("figures", 1, max_categories=max_categories, max_states=max_states)
        self.samples_per_category, self.traversal_steps = samples_per_category, traversal_steps
        self.max_categories, self.max_states = max_categories, max_states

    def finish(self, trainer: Trainer, model: Any, table: PredictionTable) -> None:
        """Draw everything."""
        assert isinstance(model, MixtureModel)
        save_pictures(trainer, self.dirpath, self._draw(trainer, model, table))

    def _draw(self, trainer: Trainer, model: MixtureModel, table: PredictionTable) -> NamedFigures:
        spec = spec_of(trainer, DataSpec)
        counts = tabulate(table, spec.num_classes)
        if curves := logged_curves(self.dirpath):
            yield "learning_curves", learning_curves(curves, model.num_categories)
        kept = np.flatnonzero(model.category_mask.cpu().numpy())
        yield from draw_counts(counts, spec, kept)
        yield from _draw_confidence(table, spec)
        if model.state_dim > 0:
            scatter = state_scatter(table.state_mean[0], table.consensus, model.num_categories)
            yield "state_scatter", scatter
            shown = _largest(counts.occupancy[0], kept, self.max_categories)
            yield from self._draw_traversals(model, table, shown, spec)
        shown = _largest(counts.occupancy[-1], kept, self.max_categories)
        yield from self._draw_samples(trainer, model, table, shown, spec)

    def _draw_traversals(
        self, model: MixtureModel, table: PredictionTable, shown: NDArray[np.int64], spec: DataSpec
    ) -> NamedFigures:
        """Draw agent 0's decoder over each state, the others at their mean in the category."""
        states, category = table.state_mean[0], table.category[0]
        centre = np.stack(
            [
                states[category == k].mean(axis=0) if (category == k).any() else states.mean(axis=0)
                for k in shown
            ]
        )
        grids, steps = [], []
        for dimension in range(min(model.state_dim, self.max_states)):
            low, high = np.percentile(states[:, dimension], [5, 95])
            values = np.linspace(low, high, self.traversal_steps)
            state = np.repeat(centre[:, None], len(values), axis=1)
            state[..., dimension] = values
            one_hot = np.eye(model.num_categories, dtype=np.float32)[np.repeat(shown, len(values))]
            decoded = decode_mixture(model, one_hot, state.reshape(len(one_hot), -1))[0]
            grid = decoded.reshape(len(shown), len(values), *spec.shape)
            grids.append(grid)
            steps.append(values)
            kept, names = _features(grid.reshape(len(one_hot), -1), spec)
            picture = traversal(
                grid[..., kept], values, shown.tolist(), dimension, spec.value_range, names=names
            )
            yield f"traversal_state{dimension}", picture
        if len(spec.shape) == 3:
            self._write_traversals(np.stack(grids), np.stack(steps), shown, spec)

    def _write_traversals(
        self,
        grids: NDArray[np.float32],
        values: NDArray[np.float64],
        shown: NDArray[np.int64],
        spec: DataSpec,
    ) -> None:
        """Write the pictures, 0 to 255, for the slider of a report."""
        low, high = value_limits(grids, spec.value_range)
        pictures = np.clip(255 * (grids - low) / (high - low), 0, 255).astype(np.uint8)
        with replacing(self.dirpath / "traversals.npz") as temporary:
            np.savez_compressed(temporary, pictures=pictures, values=values, categories=shown)

    def _draw_samples(
        self,
        trainer: Trainer,
        model: MixtureModel,
        table: PredictionTable,
        shown: NDArray[np.int64],
        spec: DataSpec,
    ) -> NamedFigures:
        order = np.argsort(-table.confidence, kind="stable")
        confident = [order[table.consensus[order] == k][: self.samples_per_category] for k in shown]
        # Two of each category of any confidence: the most confident would flatter the model.
        typical = np.concatenate([np.flatnonzero(table.consensus == k)[:2] for k in shown])
        wanted = np.unique(np.concatenate([*confident, typical]))
        found = find_samples(trainer, set(table.index[wanted].tolist()))
        if not found:
            return

        def pick(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            samples = [found[i][0] for i in table.index[rows].tolist() if i in found]
            return np.stack(samples) if samples else np.empty((0, *spec.shape), dtype=np.float32)

        grid = [pick(rows) for rows in confident]
        means = np.stack([rows.mean(axis=0).ravel() for rows in grid if len(rows)])
        kept, names = _features(means, spec)
        cut = [rows[..., kept] for rows in grid]
        yield "category_samples", category_samples(cut, shown.tolist(), spec.value_range, names)
        if not model.can_decode:
            return
        typical = np.array([n for n in typical if int(table.index[n]) in found], dtype=np.int64)
        one_hot = np.eye(model.num_categories, dtype=np.float32)[table.category[:, typical]]
        decoded = decode_mixture(model, one_hot, table.state_mean[:, typical])
        categories = table.consensus[typical].tolist()
        picture = reconstructions(
            pick(typical)[..., kept], decoded[..., kept], categories, spec.value_range, names
        )
        yield "reconstructions", picture


def _draw_confidence(table: PredictionTable, spec: DataSpec) -> NamedFigures:
    """Draw whether the agents' agreement tells right samples from wrong ones, given labels."""
    known = table.label >= 0
    if known.any():
        size = table.probs.shape[-1], spec.num_classes
        correct = is_correct(table.consensus[known], table.label[known], *size)
        yield "risk_coverage", risk_coverage(accuracy_at_coverage(table.confidence[known], correct))


def _features(values: NDArray[Any], spec: DataSpec) -> tuple[Any, list[str]]:
    """The features to draw, and their names: of many named ones those that differ most.

    Args:
        values: Samples or means, shape (N, D).
    """
    if not spec.feature_names:
        return slice(None), []
    order = np.argsort(-values.std(axis=0), kind="stable")[:MAX_FEATURES]
    return np.sort(order), [spec.feature_names[g] for g in np.sort(order).tolist()]


def _largest(
    occupancy: NDArray[np.int64], kept: NDArray[np.int64], limit: int
) -> NDArray[np.int64]:
    """Return the most populated of the kept categories, in ascending order."""
    return np.sort(kept[np.argsort(-occupancy[kept], kind="stable")[:limit]])


def draw_counts(counts: MixtureCounts, spec: DataSpec, kept: NDArray[np.int64]) -> NamedFigures:
    """Draw the samples of each category, the agents' consensus, and the table of labels."""
    numbers = kept.tolist()
    yield "samples_per_category", samples_per_category(counts.occupancy[:, kept], numbers)
    if len(counts.joint) > 1:
        matrix = mean_consensus_matrix(counts.joint)[np.ix_(kept, kept)]
        yield "consensus_matrix", consensus_matrix(matrix, numbers)
    voted = counts.labels[-1]
    if voted.sum() > 0:
        order = order_by_class(voted)
        order = order[np.isin(order, kept)]
        names = spec.class_names or tuple(str(c) for c in range(spec.num_classes))
        accuracy = clustering_accuracy(voted)
        table = category_label_table(voted[order], order.tolist(), names, accuracy)
        yield "category_label_table", table
