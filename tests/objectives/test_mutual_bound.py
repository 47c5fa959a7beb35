"""InfoGAN's bound on the information between a code and what is made of it."""

from __future__ import annotations

import math

import pytest
import torch

from mixvae.objectives.information import category_information, state_information

K = 4


def channel() -> torch.Tensor:
    """p(x|c) of K categories and 6 kinds of samples, shape (K, 6)."""
    return torch.randn(K, 6, dtype=torch.float64).softmax(-1)


def expected_bound(p: torch.Tensor, log_q: torch.Tensor) -> float:
    """The mean of the bound over all pairs of c and x, log_q of shape (6, K)."""
    total = 0.0
    for c in range(K):
        one_hot = torch.zeros(1, 6, K, dtype=torch.float64)
        one_hot[..., c] = 1
        total += float((p[c] * category_information(one_hot, log_q[None], K)[0]).sum()) / K
    return total


def test_with_the_true_posterior_the_category_bound_is_the_mutual_information() -> None:
    p = channel()
    joint = p / K
    independent = joint.sum(0) * joint.sum(1, keepdim=True)
    information = float((joint * (joint / independent).log()).sum())
    posterior = (joint / joint.sum(0)).t()
    assert expected_bound(p, posterior.log()) == pytest.approx(information)
    for _ in range(5):
        other = (posterior.log() + torch.randn(6, K)).log_softmax(-1)
        assert expected_bound(p, other) < information


def test_a_category_read_off_with_certainty_tells_all() -> None:
    one_hot = torch.eye(K)[None]
    log_q = one_hot.log()
    log_q.requires_grad_()
    gain = category_information(one_hot, log_q, K)
    torch.testing.assert_close(gain, torch.full((1, K), math.log(K)))
    gain.sum().backward()
    assert torch.equal(log_q.grad, one_hot)


def test_masked_categories_are_not_counted() -> None:
    log_q = torch.tensor([[[0.5, 0.5, 0.0]]]).log()
    one_hot = torch.tensor([[[1.0, 0.0, 0.0]]])
    torch.testing.assert_close(category_information(one_hot, log_q, 2), torch.zeros(1, 1))


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_with_the_true_posterior_the_state_bound_is_the_mutual_information(noise: float) -> None:
    # x = s + noise * n has I(s; x) = log(1 + 1 / noise^2) / 2 for each dimension.
    count, dim = 100_000, 2
    state = torch.randn(1, count, dim, dtype=torch.float64)
    x = state + noise * torch.randn_like(state)
    share = 1 / (1 + noise**2)
    logvar = torch.full_like(x, math.log(noise**2 * share))
    gain = state_information(state, share * x, logvar)
    information = dim * 0.5 * math.log(1 + 1 / noise**2)
    assert float(gain.mean()) == pytest.approx(information, abs=4 * float(gain.std()) / 300)
    for mean, spread in ((x, logvar), (share * x, logvar + 0.5), (torch.zeros_like(x), logvar)):
        assert float(state_information(state, mean, spread).mean()) < information


def test_no_state_tells_nothing() -> None:
    empty = torch.zeros(1, 3, 0)
    assert torch.equal(state_information(empty, empty, empty), torch.zeros(1, 3))


def test_a_state_that_is_not_read_off_tells_nothing() -> None:
    state = torch.randn(1, 200_000, 1, dtype=torch.float64)
    gain = state_information(state, torch.zeros_like(state), torch.zeros_like(state))
    assert abs(float(gain.mean())) < 0.01
