"""Every value out of range is refused when the callback is built, naming the setting and value."""

from __future__ import annotations

from typing import Any

import pytest

from mixvae.callbacks.checkpoints import Checkpoints
from mixvae.callbacks.clusterability import Clusterability
from mixvae.callbacks.copies import CopyFigures
from mixvae.callbacks.disentanglement import Disentanglement
from mixvae.callbacks.evaluation import Evaluation
from mixvae.callbacks.figures import Figures
from mixvae.callbacks.finite import FiniteLoss
from mixvae.callbacks.merging import Merging
from mixvae.callbacks.multimodal_evaluation import MultimodalEvaluation
from mixvae.callbacks.multimodal_figures import MultimodalFigures
from mixvae.callbacks.progress import progress
from mixvae.callbacks.pruning import Pruning
from mixvae.callbacks.state_analysis import StateAnalysis

REFUSED: list[tuple[Any, dict[str, Any], str, Any]] = [
    (Checkpoints, {"dirpath": "."}, "every_n_epochs", 0),
    (Checkpoints, {"dirpath": "."}, "mode", "least"),
    (Clusterability, {"dirpath": "."}, "max_samples", 3),
    (CopyFigures, {"dirpath": "."}, "num_samples", 0),
    (CopyFigures, {"dirpath": "."}, "num_copies", 0),
    (Disentanglement, {}, "max_samples", 0),
    (Evaluation, {}, "patience_epochs", -1),
    (Figures, {"dirpath": "."}, "samples_per_category", 0),
    (Figures, {"dirpath": "."}, "traversal_steps", 1),
    (Figures, {"dirpath": "."}, "max_states", 0),
    (FiniteLoss, {}, "every_n_steps", 0),
    (Merging, {}, "after_epochs", 0),
    (Merging, {"after_epochs": 2}, "num_categories", 1),
    (Merging, {"after_epochs": 2}, "max_valley", 1.0),
    (MultimodalEvaluation, {}, "classifier", "forest"),
    (MultimodalEvaluation, {}, "classifier_c", 0.0),
    (MultimodalEvaluation, {}, "max_samples", 0),
    (MultimodalFigures, {"dirpath": "."}, "events_per_class", 0),
    (Pruning, {"dirpath": ".", "round_epochs": 1}, "max_rounds", 0),
    (Pruning, {"dirpath": ".", "round_epochs": 1, "max_rounds": 1}, "threshold", 2),
    (Pruning, {"dirpath": ".", "round_epochs": 1, "max_rounds": 1}, "num_per_round", 1.5),
    (StateAnalysis, {"dirpath": "."}, "agent", -1),
    (StateAnalysis, {"dirpath": "."}, "min_samples", 1),
    (StateAnalysis, {"dirpath": "."}, "num_genes", 0),
    (StateAnalysis, {"dirpath": "."}, "num_steps", 1),
    (progress, {}, "kind", "barr"),
]


@pytest.mark.parametrize(("build", "given", "key", "value"), REFUSED)
def test_a_value_out_of_range_is_refused(
    build: Any, given: dict[str, Any], key: str, value: Any
) -> None:
    with pytest.raises(ValueError, match=f"{key}.* {value!r}"):
        build(**given, **{key: value})
