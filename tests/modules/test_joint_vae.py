"""JointVAE: its terms at the schedules' ends, what is refused, masked categories."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import toys
from toys import at, batch

from mixvae.modules.joint_vae import JointVAE

K = 5
make = partial(toys.make, JointVAE, num_categories=K)


@pytest.mark.parametrize(
    ("epoch", "state", "category"), [(0, 0.0, 0.0), (2, 1.5, 0.6), (4, 3.0, 0.6), (9, 3.0, 0.6)]
)
def test_the_terms_follow_the_schedules(
    epoch: float, state: float, category: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(
        state_capacity=3.0,
        category_capacity=0.6,
        state_capacity_epochs=4.0,
        category_capacity_epochs=2.0,
        state_gamma=7.0,
        category_gamma=11.0,
    )
    terms = at(model, epoch, monkeypatch).terms(batch())
    means = {name: value.item() for name, value in terms.means().items()}
    assert means["state_capacity"] == pytest.approx(abs(state - means["kl"]), rel=1e-5)
    assert means["category_capacity"] == pytest.approx(
        abs(category - means["category_kl"]), rel=1e-5
    )
    # The divergence itself is logged, and pulls through its distance from the capacity alone.
    expected = means["reconstruction"] + 7 * means["state_capacity"]
    expected = expected + 11 * means["category_capacity"]
    assert terms.total().item() == pytest.approx(expected, rel=1e-5)


def test_at_the_start_it_is_a_beta_vae_of_both_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = at(make(state_gamma=4.0, category_gamma=4.0), 0, monkeypatch)
    torch.manual_seed(3)
    total = model.terms(batch()).total().detach()
    torch.manual_seed(3)
    means = model.terms(batch()).means()
    both = 4 * (means["kl"] + means["category_kl"])
    torch.testing.assert_close(total, means["reconstruction"] + both)


def test_the_category_capacity_is_log_k_by_default() -> None:
    assert make().category_capacity(math.inf) == math.log(K)
    make(category_capacity=math.log(K))
    assert make().agents.state_from_category is None


def test_the_settled_loss_has_the_largest_capacities(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(state_capacity=2.0).eval()
    step = model.predict_step(batch())
    entropy = torch.distributions.Categorical(step.posterior.probs).entropy().mean()
    expected = step.reconstruction.mean() + 30 * ((step.kl.mean() - 2.0).abs() + entropy)
    torch.testing.assert_close(model.settled_loss(step), expected)
    at(model, 3.3, monkeypatch)
    torch.testing.assert_close(model.settled_loss(step), expected)
