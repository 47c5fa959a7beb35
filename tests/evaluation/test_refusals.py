"""Data without an answer are refused by name and value."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from mixvae.evaluation.clustering import (
    adjusted_rand_index,
    clustering_accuracy,
    normalised_mutual_information,
)
from mixvae.evaluation.consensus import mean_consensus_matrix
from mixvae.evaluation.disentanglement import dci, factor_vae_score, mutual_information_gap
from mixvae.evaluation.disentanglement_scores import DisentanglementScores
from mixvae.evaluation.mixture import MixtureEvaluation
from mixvae.evaluation.model_order import check_num_per_round
from mixvae.evaluation.multimodal_health import MultimodalEvaluation
from mixvae.evaluation.probe import Labelled, fit_logistic, fit_mlp
from mixvae.evaluation.traversal import traverse_states

ZEROS, EYE = np.zeros((4, 2)), np.eye(4)
ONE_CLASS = Labelled(ZEROS, np.zeros(4, dtype=np.int64))
COUNTS = [clustering_accuracy, normalised_mutual_information, adjusted_rand_index]
TRAVERSE = partial(traverse_states, lambda c, s: s, np.zeros((1, 9), dtype=np.int64))

REFUSED: list[tuple[Callable[[], object], str]] = [
    *((partial(score, np.zeros((3, 2), dtype=np.int64)), r"\(3, 2\)") for score in COUNTS),
    *((partial(score, np.ones(3, dtype=np.int64)), "two axes") for score in COUNTS),
    (partial(mean_consensus_matrix, np.ones((1, 1, 2, 2))), "two agents; got 1"),
    *(
        (partial(score, *arguments), message)
        for score in (factor_vae_score, mutual_information_gap, dci)
        for arguments, message in (
            ((ZEROS, np.zeros((5, 1))), r"\(4, 2\) and \(5, 1\)"),
            ((ZEROS, EYE, np.zeros(3)), r"shape \(4,\), got \(3,\)"),
            ((np.zeros((4, 0)), EYE), "no code"),
            ((np.full((4, 1), np.nan), EYE), "finite"),
            ((ZEROS, np.ones((4, 3))), "no factor"),
        )
    ),
    (partial(DisentanglementScores, max_samples=1), "max_samples .* got 1"),
    *((partial(check_num_per_round, bad), f"num_per_round .* got {bad}") for bad in (0, -1, 1.5)),
    *((partial(fit, ONE_CLASS), "got 1 in 4") for fit in (fit_logistic, fit_mlp)),
    (partial(TRAVERSE, np.zeros((1, 9, 2)), [0], 2, num_steps=1), "num_steps .* got 1"),
    (partial(TRAVERSE, np.zeros((1, 9, 0)), [0], 2), "state_dim 0"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_data_without_an_answer(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize("metric", [MixtureEvaluation(2, 3, 4), MultimodalEvaluation(("a", "b"))])
def test_no_samples(metric: MixtureEvaluation | MultimodalEvaluation) -> None:
    with pytest.raises(ValueError, match="holds no"):
        metric.compute()
