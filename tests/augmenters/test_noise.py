"""Copies by noise have the noise's distribution, independently for each agent."""

from __future__ import annotations

import pytest
import torch

from mixvae.augmenters.noise import Identity, Noise


def test_identity_shows_the_sample_without_copying() -> None:
    x = torch.rand(3, 4)
    copies = Identity()(x, 5, lambda c: c)
    assert copies.shape == (5, 3, 4)
    assert copies.data_ptr() == x.data_ptr()


def test_noise_is_normal_with_the_scale_asked_for() -> None:
    x = torch.full((1, 50_000), 2.0)
    noise = Noise(0.5)(x, 2, lambda c: c) - 2.0
    assert noise.mean().item() == pytest.approx(0.0, abs=0.01)
    assert noise.std().item() == pytest.approx(0.5, rel=0.01)
    # Kurtosis 3 tells normal from uniform noise (1.8), a fault of the public code.
    assert (noise / 0.5).pow(4).mean().item() == pytest.approx(3.0, rel=0.05)
    assert torch.corrcoef(noise[:, 0]).abs()[0, 1].item() < 0.02
