"""The information term: where it is largest, and what happens to empty categories."""

import math

import pytest
import torch
from torch import Tensor

from mixvae.objectives.information import information


def posteriors(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 8, 4, generator=generator, dtype=torch.float64).log_softmax(-1)


def confident(assignment: list[int], num_categories: int) -> Tensor:
    one_hot = torch.nn.functional.one_hot(torch.tensor(assignment), num_categories)
    return one_hot.double().log().unsqueeze(0)


@pytest.mark.parametrize("weight", [0.0, 1.0, 4.0])
def test_largest_where_confident_and_balanced(weight: float) -> None:
    best = information(confident([0, 1, 2, 3, 0, 1, 2, 3], 4), weight)
    assert best.shape == (1,)
    assert best.item() == pytest.approx(weight * math.log(4))
    assert (information(posteriors(), weight) <= best).all()


def test_zero_where_collapsed_and_least_where_nothing_is_told() -> None:
    assert information(confident([2] * 5, 4), 4.0).item() == 0
    flat = torch.zeros(1, 5, 4, dtype=torch.float64).log_softmax(-1)
    assert information(flat, 1.0).item() == pytest.approx(0, abs=1e-12)
    assert information(flat, 4.0).item() == pytest.approx(3 * math.log(4))


def test_equals_the_mutual_information_of_the_joint_table() -> None:
    log_q = posteriors()
    joint = log_q.exp() / log_q.shape[1]
    product = joint.sum(1, keepdim=True) * joint.sum(2, keepdim=True)
    expected = (joint * (joint / product).log()).sum((1, 2))
    torch.testing.assert_close(information(log_q, 1.0), expected)


@pytest.mark.parametrize("low", [-torch.inf, -300.0])
def test_empty_category_gives_finite_value_and_gradient(low: float) -> None:
    logits = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    masked = torch.tensor([False, False, True, False])
    log_q = logits.masked_fill(masked, low).log_softmax(-1)
    value = information(log_q)
    value.sum().backward()
    torch.testing.assert_close(value, information(logits[..., ~masked].log_softmax(-1)))
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_gradcheck() -> None:
    assert torch.autograd.gradcheck(information, (posteriors().requires_grad_(),))
