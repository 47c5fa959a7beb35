"""Aitchison's geometry, property by property."""

import math

import pytest
import torch
from torch import Tensor

from mixvae.objectives.simplex import aitchison_squared, clr


def compositions(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(*shape, generator=generator, dtype=dtype)).log_softmax(dim=-1)


def test_clr_equals_log_ratio_to_the_geometric_mean() -> None:
    q = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    geometric_mean = (0.5 * 0.25 * 0.25) ** (1 / 3)
    expected = [math.log(value / geometric_mean) for value in (0.5, 0.25, 0.25)]
    torch.testing.assert_close(clr(q.log()).tolist(), expected)


def test_clr_sums_to_zero_and_ignores_scale() -> None:
    log_q = compositions(4, 6)
    torch.testing.assert_close(clr(log_q).sum(-1), torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(clr(log_q + 3.7), clr(log_q))


def test_aitchison_equals_the_pairwise_log_ratio_definition() -> None:
    p, q = compositions(5, seed=1), compositions(5, seed=2)
    ratios = sum(((p[i] - p[j]) - (q[i] - q[j])).square() for i in range(5) for j in range(5)) / (
        2 * 5
    )
    torch.testing.assert_close(aitchison_squared(p, q), ratios)


def test_it_is_a_distance() -> None:
    p, q, r = (compositions(200, 5, seed=seed) for seed in (1, 2, 3))
    torch.testing.assert_close(aitchison_squared(p, q), aitchison_squared(q, p))
    assert aitchison_squared(p, p).eq(0).all()
    assert aitchison_squared(p, q).gt(1e-3).all()
    direct = aitchison_squared(p, r).sqrt()
    detour = aitchison_squared(p, q).sqrt() + aitchison_squared(q, r).sqrt()
    assert (direct <= detour + 1e-12).all()


def test_invariant_to_a_common_perturbation_and_to_permuting_categories() -> None:
    p, q, r = (compositions(9, 5, seed=seed) for seed in (1, 2, 3))
    perturbed = aitchison_squared((p + r).log_softmax(-1), (q + r).log_softmax(-1))
    torch.testing.assert_close(perturbed, aitchison_squared(p, q))
    order = torch.tensor([3, 0, 4, 1, 2])
    permuted = aitchison_squared(p[:, order], q[:, order])
    torch.testing.assert_close(permuted, aitchison_squared(p, q))


def test_masked_categories_are_left_out() -> None:
    p, q = compositions(9, 5, seed=1), compositions(9, 5, seed=2)
    mask = torch.tensor([True, False, True, True, False])
    torch.testing.assert_close(
        aitchison_squared(p, q, mask), aitchison_squared(p[:, mask], q[:, mask])
    )
    assert clr(p, mask)[:, ~mask].eq(0).all()


@pytest.mark.parametrize("given", [True, False])
def test_minus_infinity_gives_finite_value_and_gradient(given: bool) -> None:
    mask = torch.tensor([True, False, True, True])
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    log_p = logits.masked_fill(~mask, -torch.inf).log_softmax(-1)
    log_q = torch.zeros(3, 4).masked_fill(~mask, -torch.inf).log_softmax(-1)
    value = aitchison_squared(log_p, log_q, mask if given else None)
    value.sum().backward()
    assert value.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[:, 1].eq(0).all()


def test_underflowing_probability_keeps_its_exact_distance() -> None:
    p = torch.tensor([[0.0, -300.0]]).log_softmax(-1).requires_grad_()
    value = aitchison_squared(p, torch.tensor([[0.0, 0.0]]).log_softmax(-1))
    assert p.exp()[0, 1] == 0
    torch.testing.assert_close(value, torch.tensor([2 * 150.0**2]))
    value.sum().backward()
    assert p.grad is not None
    assert p.grad.isfinite().all()


def test_gradcheck() -> None:
    p, q = compositions(3, 4, seed=1).requires_grad_(), compositions(3, 4, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(aitchison_squared, (p, q))
    mask = torch.tensor([True, True, False, True])
    assert torch.autograd.gradcheck(lambda log_q: clr(log_q, mask), (p,))
