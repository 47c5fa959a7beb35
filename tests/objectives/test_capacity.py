"""Capacity terms: where they are zero, which way they pull, and the divergence from uniform."""

import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from mixvae.objectives.divergences import capacity_penalty, kl_to_uniform


def test_the_penalty_is_the_distance_of_the_mean_and_pulls_from_both_sides() -> None:
    kl = torch.tensor([[1.0, 3.0], [6.0, 8.0]], dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(capacity_penalty(kl, 0.0), kl.mean(1))
    assert capacity_penalty(kl, 2.0).tolist() == [0.0, 5.0]
    capacity_penalty(kl, 5.0).sum().backward()
    # Half for each of two samples: the first agent carries too little, the second too much.
    assert kl.grad.tolist() == [[-0.5, -0.5], [0.5, 0.5]]


def test_kl_to_uniform_equals_torch_and_its_ends_are_exact() -> None:
    log_q = torch.randn(2, 6, 4, dtype=torch.float64).log_softmax(-1)
    uniform = Categorical(probs=torch.full((4,), 0.25, dtype=torch.float64))
    expected = kl_divergence(Categorical(logits=log_q), uniform)
    torch.testing.assert_close(kl_to_uniform(log_q, 4), expected)
    assert kl_to_uniform(torch.full((4,), -math.log(4)), 4).item() == pytest.approx(0, abs=1e-7)
    sure = torch.tensor([0.0, -math.inf, -math.inf])
    assert kl_to_uniform(sure, 3).item() == pytest.approx(math.log(3))


def test_kl_to_uniform_leaves_masked_categories_out() -> None:
    few = torch.randn(5, 3).log_softmax(-1)
    masked = torch.cat([few, torch.full((5, 2), -math.inf)], dim=1).requires_grad_()
    torch.testing.assert_close(kl_to_uniform(masked, 3), kl_to_uniform(few, 3))
    kl_to_uniform(masked, 3).sum().backward()
    assert masked.grad.isfinite().all()
