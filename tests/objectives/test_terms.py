"""The record of a loss: what is summed, what is averaged, what is named."""

import pytest
import torch

from mixvae.objectives.terms import Terms

WEIGHTS = {
    "reconstruction": 0.5,
    "coupling": 10.0,
    "information": -2.0,
    "penalty": 1.0,
    "kl": 3.0,
    "off": 0.0,
}


def example() -> Terms:
    terms = Terms(WEIGHTS)
    terms.add("reconstruction", torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    terms.add("coupling", torch.tensor([1.0, 3.0, 5.0]), axes="B")
    terms.add("information", torch.tensor([0.25, 0.75]), axes="A")
    terms.add("penalty", torch.tensor(7.0), axes="")
    return terms


def test_total_sums_agents_and_averages_the_batch() -> None:
    expected = 0.5 * (2.0 + 5.0) + 10.0 * 3.0 - 2.0 * (0.25 + 0.75) + 7.0
    assert example().total().item() == pytest.approx(expected)


def test_means_average_agents_and_batch_without_weights() -> None:
    means = example().means()
    assert list(means) == ["reconstruction", "coupling", "information", "penalty"]
    assert [value.item() for value in means.values()] == [3.5, 3.0, 0.5, 7.0]


def test_means_are_detached_and_total_is_not() -> None:
    value = torch.ones(2, 3, requires_grad=True)
    terms = Terms(WEIGHTS)
    terms.add("kl", value)
    assert not terms.means()["kl"].requires_grad
    terms.total().backward()
    assert torch.equal(value.grad, torch.ones(2, 3))


def test_weight_zero_touches_neither_loss_nor_gradient() -> None:
    value = torch.full((2, 3), torch.inf, requires_grad=True)
    terms = Terms(WEIGHTS)
    terms.add("off", value)
    assert terms.total().item() == 0
    terms.add("penalty", torch.tensor(1.0), axes="")
    assert terms.total().item() == 1
    assert not terms.total().requires_grad
    assert terms.means()["off"].item() == torch.inf


def test_misuse_is_caught() -> None:
    terms = example()
    with pytest.raises(AssertionError):
        terms.add("coupling", torch.ones(3), axes="B")
    with pytest.raises(AssertionError):
        terms.add("kl", torch.ones(3))
    with pytest.raises(AssertionError, match="the term 'new' has no weight"):
        terms.add("new", torch.ones(2, 3))
    with pytest.raises(AssertionError):
        Terms(WEIGHTS).total()
