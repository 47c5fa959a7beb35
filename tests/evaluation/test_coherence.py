"""Coherence is 1 where decoding keeps the class, chance where it loses it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mixvae.evaluation.probe import Labelled
from mixvae.evaluation.representation import coherence_matrix, mean_coherence

LABEL = np.array([0, 1, 2, 3, 0, 1])


def classify(x: np.ndarray) -> np.ndarray:
    return x[:, 0].astype(np.int64)


def test_entries_are_shares_of_the_encoded_modality() -> None:
    latents = [Labelled(LABEL[:, None].astype(float), LABEL), Labelled(np.zeros((6, 1)), LABEL)]

    def decode(latent: np.ndarray, modality: int) -> np.ndarray:
        return latent if modality == 0 else (latent + 1) % 4

    matrix = coherence_matrix(latents, decode, [classify, classify])
    # Modality 0 keeps its label in itself and shifts it in 1; modality 1 knows one class only.
    np.testing.assert_allclose(matrix, [[1, 0], [2 / 6, 2 / 6]])
    assert mean_coherence(matrix) == pytest.approx(1 / 6)


def test_a_modality_without_samples_is_left_out() -> None:
    latents = [Labelled(LABEL[:, None].astype(float), LABEL), Labelled(np.zeros((0, 1)), LABEL[:0])]
    matrix = coherence_matrix(latents, lambda latent, _: latent, [classify, classify])
    assert matrix[0].tolist() == [1, 1]
    assert np.isnan(matrix[1]).all()
    assert mean_coherence(matrix) == 1


def test_one_modality_has_no_pairs() -> None:
    assert math.isnan(mean_coherence(np.ones((1, 1))))
