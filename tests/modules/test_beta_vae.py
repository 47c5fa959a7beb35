"""beta-VAE: k-means on its means, without labels; what is kept, and what is refused."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
import toys
from toys import D, K

from mixvae.contracts import Batch
from mixvae.modules.beta_vae import BetaVAE
from mixvae.objectives.likelihoods import Gaussian

S, B = 3, 80
make = partial(toys.make, BetaVAE, likelihood=Gaussian(), state_dim=S)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    label = torch.arange(B) % K
    centres = 5 * torch.randn(K, D, generator=generator)
    x = centres[label] + 0.1 * torch.randn(B, D, generator=generator)
    return Batch(x, label, torch.arange(B))


def fitted(**options: object) -> BetaVAE:
    model = make(**options)
    model.prepare([batch()])
    model._trainer = SimpleNamespace(global_step=3)
    model.find_centres()
    return model


def test_centres_are_found_without_labels_and_nearest_is_the_category() -> None:
    model = fitted()
    assert model.agents.training
    assert not model.centres.requires_grad
    posterior = model.eval().infer(batch().x)
    category = posterior.probs[0].argmax(-1)
    nearest = torch.cdist(posterior.state_mean[0], model.centres).argmin(-1)
    assert torch.equal(category, nearest)
    torch.testing.assert_close(posterior.probs.sum(-1), torch.ones(1, B))
    for k in range(K):
        assert len(category[batch().label == k].unique()) == 1
        torch.testing.assert_close(
            model.centres[category[k]], posterior.state_mean[0, batch().label == k].mean(0)
        )
    other = make()
    shuffled = batch()._replace(label=torch.zeros(B, dtype=torch.int64))
    other.prepare([shuffled])
    other._trainer = SimpleNamespace(global_step=3)
    other.find_centres()
    assert torch.equal(other.centres, model.centres)


def test_centres_travel_in_the_checkpoint_and_are_found_once_a_step() -> None:
    model, other = fitted(), make()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.infer(batch().x).probs, model.infer(batch().x).probs)
    model.centres.zero_()
    model.find_centres()
    assert not model.centres.any()
    model._trainer.global_step = 4
    model.find_centres()
    assert torch.equal(model.centres, other.centres)
    # Without training data, as where a checkpoint is evaluated, they stay as they are.
    other.find_centres()
    assert torch.equal(model.centres, other.centres)


def test_the_decoder_and_the_objective_know_of_no_category() -> None:
    model = make(beta=2.5)
    terms = model.terms(batch())
    means = terms.means()
    torch.testing.assert_close(terms.total().detach(), means["reconstruction"] + 2.5 * means["kl"])
    terms.total().backward()
    frozen = {name for name, p in model.named_parameters() if p.grad is None}
    assert frozen == {
        f"agents.{part}"
        for part in ("category_head.weight", "category_head.bias", "code_from_category.weight")
    }
    state = torch.randn(1, K, S)
    same = model.decode(torch.eye(K)[None], state)
    assert torch.equal(same, model.decode(torch.eye(K)[None].roll(1, dims=1), state))
    step = model.eval().predict_step(batch())
    expected = step.reconstruction.mean() + 2.5 * step.kl.mean()
    torch.testing.assert_close(model.settled_loss(step), expected)


def test_more_categories_than_samples_are_refused() -> None:
    few = batch()._replace(x=batch().x[:3])
    with pytest.raises(ValueError, match=r"num_categories is 4.* 3 training samples"):
        make().prepare([few])
