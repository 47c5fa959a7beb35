"""CascadeVAE: what is released when, assignments, the posterior, what is refused."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
import toys
from toys import agents_of, at

from mixvae.contracts import MixtureModel
from mixvae.modules import cascade_vae
from mixvae.modules.cascade_vae import CascadeVAE

K, S, B = 3, 4, 5
batch = partial(toys.batch, B)
make = partial(
    toys.make,
    CascadeVAE,
    agents=agents_of(decoder_norm="before"),
    num_categories=K,
    state_dim=S,
    dimension_epochs=2.0,
    category_after=2,
)


def test_dimensions_then_categories_then_the_other_dimensions() -> None:
    model = make()
    epochs = [0, 1.9, 2, 3.9, 4, 6, 8, 100]
    assert [model.num_released(epoch) for epoch in epochs] == [1, 1, 2, 2, 2, 3, 4, 4]
    assert [model.has_categories(epoch) for epoch in epochs] == [False] * 4 + [True] * 4
    at_once = make(category_after=0)
    assert [at_once.num_released(epoch) for epoch in (0, 2, 8)] == [0, 1, 4]
    assert at_once.has_categories(0)


def test_released_dimensions_cost_little_and_the_others_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = at(make(beta_low=0.5, beta_high=20.0), 2.5, monkeypatch)
    terms = model.terms(batch())
    means = terms.means()
    expected = means["reconstruction"] + 0.5 * means["kl"] + 20 * means["kl_unreleased"]
    torch.testing.assert_close(terms.total().detach(), expected)
    whole = model.eval().predict_step(batch()).kl.mean()
    model.train()
    torch.testing.assert_close(means["kl"] + means["kl_unreleased"], whole)
    at(model, 50, monkeypatch)
    assert model.terms(batch()).means()["kl_unreleased"] == 0


def test_a_warm_up_decodes_without_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make()
    monkeypatch.setattr(model, "_assign", None)
    at(model, 3.9, monkeypatch).terms(batch()).total().backward()
    assert not model.agents.code_from_category.weight.grad.any()
    assert model.agents.category_head.weight.grad is None


def test_a_batch_is_assigned_at_least_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    model = at(make(pair_cost=0.05), 50, monkeypatch)
    x = batch().x
    state = torch.randn(1, B, S)
    model.eval()
    costs = model._costs(x, state).detach().numpy()
    model.train()
    category = model._assign(x, state)[0].argmax(-1).numpy()

    def total(one: np.ndarray) -> float:
        pairs = sum(np.sum(one[:i] == one[i]) for i in range(B))
        return float(costs[np.arange(B), one].sum() + 0.05 * pairs)

    best = min(total(np.array(one)) for one in product(range(K), repeat=B))
    assert total(category) == pytest.approx(best, abs=1e-5)
    assert model.agents.decoder.training


def test_an_assignment_moves_no_running_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make()
    before = {name: value.clone() for name, value in model.named_buffers()}
    model._assign(batch().x, torch.randn(1, B, S))
    assert all(torch.equal(before[name], value) for name, value in model.named_buffers())


def test_the_posterior_is_bayes_rule_over_a_uniform_prior() -> None:
    model = make().eval()
    assert isinstance(model, MixtureModel)
    step = model.predict_step(batch())
    mean = step.posterior.state_mean
    nll = torch.stack(
        [
            model.likelihood.nll(
                model.agents.decode(torch.eye(K)[k].expand(1, B, K), mean), batch().x
            )
            for k in range(K)
        ],
        dim=-1,
    )
    torch.testing.assert_close(step.posterior.probs, (-nll).softmax(-1))
    # What is decoded is the category that explains the sample best.
    torch.testing.assert_close(step.reconstruction, nll.amin(-1))


def test_pruned_categories_are_never_assigned(monkeypatch: pytest.MonkeyPatch) -> None:
    model = at(make(pair_cost=100.0), 50, monkeypatch)
    model.prune([1])
    drawn = []
    one_hot = cascade_vae.functional.one_hot
    monkeypatch.setattr(
        cascade_vae.functional, "one_hot", lambda *a: drawn.append(one_hot(*a)) or drawn[-1]
    )
    assert model.terms(toys.batch(40)).total().isfinite()
    assert drawn[0].sum(0).tolist() == [20, 0, 20]
    assert not model.eval().infer(batch().x).probs[..., 1].any()


def test_the_settled_loss_has_everything_released() -> None:
    model = make(beta_low=0.3).eval()
    step = model.predict_step(batch())
    expected = step.reconstruction.mean() + 0.3 * step.kl.mean()
    torch.testing.assert_close(model.settled_loss(step), expected)
