"""Merged categories: probabilities add up, names can be changed and pruned, all of it is saved."""

from __future__ import annotations

import pytest
import torch
from toys import D, make_cpl

from mixvae.augmenters.adversarial import Adversarial
from mixvae.contracts import Batch, Mergeable
from mixvae.modules.cpl_mixvae import CplMixVAE
from mixvae.networks.agents import join_categories
from mixvae.objectives.likelihoods import Gaussian

A, B, K = 2, 12, 5
ORDER = torch.tensor([[3, 0, 1, 2, 4], [1, 4, 0, 2, 3]])
NAME = torch.tensor([[0, 1, 2, 2, 0], [0, 1, 2, 1, 1]])


def make() -> CplMixVAE:
    return make_cpl(
        A,
        likelihood=Gaussian(),
        num_categories=K,
        adversarial_weight=2.0,
        adversary=Adversarial(radius=0.5),
        information_weight=1.5,
    )


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(B, D, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def merged(monkeypatch: pytest.MonkeyPatch) -> CplMixVAE:
    model = make()
    monkeypatch.setattr(type(model), "trainer", _Trainer(), raising=False)
    model.merge(ORDER, NAME)
    return model


class _Trainer:
    optimizers: tuple[()] = ()


def sums(before: torch.Tensor) -> torch.Tensor:
    """What each name's probability should be, from those before merging, (A, B, K)."""
    expected = torch.zeros_like(before)
    for agent in range(A):
        for place in range(K):
            expected[agent, :, NAME[agent, place]] += before[agent, :, ORDER[agent, place]]
    return expected


def test_probabilities_add_up(merged: CplMixVAE, x: torch.Tensor) -> None:
    assert isinstance(merged, Mergeable)
    probs = merged.infer(x).probs
    torch.testing.assert_close(probs, sums(make().infer(x).probs))
    assert not probs[..., 3:].any()
    assert merged.category_mask.tolist() == [True] * 3 + [False] * 2
    assert merged.num_kept == 3


def test_training_goes_on_with_finite_gradients(merged: CplMixVAE, x: torch.Tensor) -> None:
    batch = Batch(x, torch.zeros(B, dtype=torch.int64), torch.arange(B))
    total = merged.terms(batch).total()
    gradients = torch.autograd.grad(total, list(merged.agents.parameters()))
    assert torch.isfinite(total)
    assert all(torch.isfinite(one).all() for one in gradients)
    head = gradients[[n for n, _ in merged.agents.named_parameters()].index("category_head.weight")]
    assert head.abs().sum(dim=1).gt(0).all()  # every part of a merged category learns


def test_names_can_be_changed_and_pruned_after_it(merged: CplMixVAE, x: torch.Tensor) -> None:
    before = merged.infer(x).probs
    joint = torch.zeros(A, A, K, K, dtype=torch.int64)
    for a in range(A):
        joint[a, a] = torch.eye(K, dtype=torch.int64)
    # Agent 1 calls 1 what agent 0 calls 0, and so on round.
    joint[0, 1, 0, 1] = joint[0, 1, 1, 2] = joint[0, 1, 2, 0] = 9
    joint[1, 0] = joint[0, 1].T
    assert merged.align(joint)
    probs = merged.infer(x).probs
    torch.testing.assert_close(probs[0], before[0])
    torch.testing.assert_close(probs[1, :, :3], before[1][:, [1, 2, 0]])

    merged.prune([1])
    left = merged.infer(x).probs
    assert not left[..., [1, 3, 4]].any()
    kept = probs[..., [0, 2]]
    torch.testing.assert_close(left[..., [0, 2]], kept / kept.sum(dim=-1, keepdim=True))


def test_it_is_part_of_the_state(merged: CplMixVAE, x: torch.Tensor) -> None:
    other = make()
    other.load_state_dict(merged.state_dict())
    assert other.merged
    assert torch.equal(other.infer(x).probs, merged.infer(x).probs)


def test_categories_are_merged_once(merged: CplMixVAE) -> None:
    with pytest.raises(ValueError, match="can be merged once, and before any is pruned"):
        merged.merge(ORDER, NAME)
    pruned = make()
    pruned.prune([0])
    with pytest.raises(ValueError, match="before any is pruned"):
        pruned.merge(ORDER, NAME)


def test_joining_has_the_gradient_of_the_sum() -> None:
    name = torch.tensor([[0, 1, 0], [0, 1, 1]])
    kept = torch.tensor([True, True, False])
    logits = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)

    def joined(values: torch.Tensor) -> torch.Tensor:
        return join_categories(values.log_softmax(-1), name, kept)[..., :2]

    assert torch.autograd.gradcheck(joined, logits)
    torch.testing.assert_close(joined(logits).exp().sum(-1), torch.ones(2, 4, dtype=torch.float64))
