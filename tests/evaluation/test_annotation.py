"""The annotation of samples against literal loops, and the same however they are batched."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mixvae.contracts import MixturePosterior
from mixvae.evaluation.annotation import denoised, describe, join

A, B, K, S = 3, 40, 5, 2


@pytest.fixture
def posterior() -> MixturePosterior:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(A, B, K, generator=generator)
    logits[..., 4] = -torch.inf  # a masked category
    state = torch.randn(A, B, S, generator=generator)
    return MixturePosterior(logits.softmax(-1), state, torch.zeros(A, B, S))


def test_each_number_is_what_its_name_says(posterior: MixturePosterior) -> None:
    result = describe(posterior, agent=2)
    probs = posterior.probs.numpy().astype(np.float64)
    for n in range(B):
        own = [int(probs[a, n].argmax()) for a in range(A)]
        voted = int(np.prod(probs[:, n], axis=0).argmax())
        assert result.category[:, n].tolist() == own
        assert result.consensus[n] == voted
        assert result.probability[n] == pytest.approx(probs[:, n, voted].mean(), rel=1e-5)
        assert result.agreement[n] == pytest.approx(own.count(voted) / A)
        entropy = [-sum(p * np.log(p) for p in probs[a, n] if p > 0) for a in range(A)]
        assert result.entropy[n] == pytest.approx(np.mean(entropy), rel=1e-5)
    np.testing.assert_allclose(result.probs, probs.mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(result.state, posterior.state_mean[2])
    np.testing.assert_array_equal(result.latent, np.hstack([result.probs, result.state]))


def test_batches_join_to_the_whole(posterior: MixturePosterior) -> None:
    whole = describe(posterior)
    parts = [
        describe(MixturePosterior(*(tensor[:, i : i + 7] for tensor in posterior)))
        for i in range(0, B, 7)
    ]
    for one, other in zip(join(parts), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_plane_is_what_its_description_says(posterior: MixturePosterior) -> None:
    result, kept = describe(posterior), np.array([0, 1, 3])
    plane = result.plane(kept)
    assert plane.dtype == np.float32
    for n in range(B):
        x = y = 0.0
        for place, k in enumerate(kept):
            x += float(result.probs[n, k]) * np.cos(2 * np.pi * place / 3)
            y += float(result.probs[n, k]) * np.sin(2 * np.pi * place / 3)
        factor = 0.5 + 1 / (1 + np.exp(-float(result.state[n, 0])))
        np.testing.assert_allclose(plane[n], [x * factor, y * factor], atol=1e-6)


def test_without_states_the_plane_is_a_circle_of_categories() -> None:
    probs = torch.eye(K).expand(A, K, K)
    plane = describe(MixturePosterior(probs, torch.zeros(A, K, 0), torch.zeros(A, K, 0))).plane(
        np.arange(K)
    )
    np.testing.assert_allclose(np.linalg.norm(plane, axis=1), 1, rtol=1e-6)
    assert len(np.unique(plane.round(4), axis=0)) == K


def test_denoised_components_keep_structure_and_lose_noise() -> None:
    random = np.random.default_rng(0)
    expected = np.repeat(np.array([[0.0, 0.0], [9.0, 9.0]]), 500, axis=0).astype(np.float32)
    # Beside noise of variance 1 the second component varies within categories, by variance 8.
    true = expected + np.stack([np.zeros(1000), random.normal(0, 8**0.5, 1000)], axis=1)
    seen = (true + random.normal(size=true.shape)).astype(np.float32)
    error = np.square(denoised(seen, expected) - true).mean(axis=0)
    assert error[0] < 0.05
    assert error[1] == pytest.approx(8 / 9, rel=0.15)
