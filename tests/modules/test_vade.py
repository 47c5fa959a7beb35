"""VaDE: its bound against Monte Carlo, the autoencoder before it, the fit, resuming."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import toys
from torch.distributions import Categorical
from toys import B, D, K, S, batch, normal

from mixvae.modules.vade import VaDE
from mixvae.networks.agents import Agents
from mixvae.networks.conv import ConvDecoder, ConvEncoder
from mixvae.networks.mlp import MLPDecoder, MLPEncoder
from mixvae.networks.stacked import layer_pairs
from mixvae.objectives.gaussian_components import fit_components
from mixvae.train import main

make = partial(toys.make, VaDE, pretrain_epochs=2)


def at_epoch(model: VaDE, epoch: int) -> VaDE:
    model._trainer = SimpleNamespace(current_epoch=epoch, num_training_batches=1, optimizers=[])
    return model


@torch.no_grad()
def spread(model: VaDE) -> VaDE:
    """A prior whose components and shares differ."""
    model.prior.mean.normal_()
    model.prior.logvar.normal_().mul_(0.3)
    model.weight_logits.normal_()
    return model


def test_the_objective_is_the_negative_bound_by_monte_carlo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # At a given q(c|x), whatever it is: draws of z and c with the densities of torch.
    model = spread(make()).double()
    fixed = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    monkeypatch.setattr(
        model, "log_category", lambda z: fixed.log().expand(1, z.shape[1], K).clone()
    )
    count = 20_000
    x = batch(1).x.double()
    loss = float(model.terms(batch()._replace(x=x.expand(count, D))).total().detach())

    with torch.no_grad():
        mean, logvar = (part[0, 0] for part in model.latent(x))
        z = normal(mean, logvar).sample((count,))
        c = Categorical(fixed).sample((count,))
        log_px = -model.likelihood.nll(model.decode_latent(z[None]), x[None])[0]
        log_pz = normal(model.prior.mean[0, c], model.prior.logvar[0, c]).log_prob(z)
        log_pc = model.weight_logits.log_softmax(-1)[c]
        bound = log_px + log_pz + log_pc - normal(mean, logvar).log_prob(z) - fixed[c].log()
    error = 4 * float(bound.std()) / math.sqrt(count)
    assert loss == pytest.approx(-float(bound.mean()), abs=2 * error)
    assert error < 0.1


def test_the_bound_lies_below_the_evidence() -> None:
    model = spread(make()).double()
    x = batch(1).x.double()
    count = 50_000
    with torch.no_grad():
        c = Categorical(logits=model.weight_logits).sample((count,))
        z = normal(model.prior.mean[0, c], model.prior.logvar[0, c]).sample()
        nll = model.likelihood.nll(model.decode_latent(z[None]), x[None])[0]
        evidence = float((-nll).logsumexp(0)) - math.log(count)
        loss = float(model.terms(batch()._replace(x=x.expand(5000, D))).total())
    assert -loss < evidence


def test_categories_follow_bayes_rule() -> None:
    model = spread(make()).double()
    z = torch.randn(1, B, S, dtype=torch.float64)
    joint = torch.stack(
        [
            normal(model.prior.mean[0, k], model.prior.logvar[0, k]).log_prob(z).exp()
            * model.weight_logits.softmax(-1)[k]
            for k in range(K)
        ],
        dim=-1,
    )
    torch.testing.assert_close(model.log_category(z).exp(), joint / joint.sum(-1, keepdim=True))


def test_evaluation_decodes_the_latent_that_it_infers() -> None:
    model = spread(make()).double().eval()
    x = batch().x.double()
    posterior = model.infer(x)
    mean, _ = model.latent(x)
    category = torch.nn.functional.one_hot(posterior.probs.argmax(-1), K).double()
    expected = model.likelihood.mean(model.decode_latent(mean))
    torch.testing.assert_close(model.decode(category, posterior.state_mean), expected)
    torch.testing.assert_close(posterior.probs, model.log_q(x).exp())
    step = model.predict_step(batch()._replace(x=x))
    nll = model.likelihood.nll(model.decode_latent(mean), x[None])
    torch.testing.assert_close(step.reconstruction, nll)
    middle = model.decode(torch.eye(K, dtype=torch.float64)[None], torch.zeros(1, K, S).double())
    torch.testing.assert_close(middle, model.likelihood.mean(model.decode_latent(model.prior.mean)))


def test_the_settled_loss_is_the_bound_where_the_category_is_certain() -> None:
    model = spread(make(beta=0.7)).double().eval()
    data = batch()._replace(x=batch().x.double())
    model.log_category = lambda z: (  # type: ignore[method-assign]
        torch.eye(K, dtype=torch.float64)[1].log().expand(1, z.shape[1], K)
    )
    step = model.predict_step(data)
    terms = model.terms(data)
    expected = (
        step.reconstruction.mean() + 0.7 * terms["kl"].mean() + 0.7 * terms["category_kl"].mean()
    )
    torch.testing.assert_close(model.settled_loss(step), expected)


def test_the_first_epochs_are_an_autoencoder_that_leaves_the_prior_alone() -> None:
    model = at_epoch(make(), 1)
    terms = model.terms(batch())
    assert set(terms.means()) == {"reconstruction"}
    again = model.terms(batch())  # nothing is drawn
    assert torch.equal(terms.total(), again.total())
    terms.total().backward()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        # Every process of a distributed run waits for a gradient of each parameter.
        assert parameter.grad is not None, name
        resting = name.startswith("prior.") or name == "weight_logits"
        assert bool(parameter.grad.any()) != resting or "code_from_category.weight" in name, name
    with torch.no_grad():
        step = model.predict_step(batch())
        assert math.isinf(model.settled_loss(step))
        assert math.isfinite(at_epoch(model, 2).settled_loss(step))


def test_then_a_mixture_is_fitted_to_the_codes_of_the_training_samples() -> None:
    model = at_epoch(make(num_starts=3), 2)
    with pytest.raises(ValueError, match=r"call model\.prepare with the training batches"):
        model.on_train_epoch_start()
    model.prepare([batch(40), batch(40)])
    before = [part.clone() for part in model.agents.parameters()]
    state = torch.get_rng_state()
    model.on_train_epoch_start()
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    codes = model.latent(torch.cat([batch(40).x] * 2))[0][0].detach()
    expected = fit_components(codes, K, num_starts=3)
    torch.testing.assert_close(model.prior.mean[0].detach(), expected.mean)
    torch.testing.assert_close(model.prior.logvar[0].detach(), expected.logvar)
    torch.testing.assert_close(model.log_prior().detach(), expected.log_weight)
    assert all(torch.equal(a, b) for a, b in zip(before, model.agents.parameters(), strict=True))


@pytest.mark.parametrize(("pretrain_epochs", "epoch"), [(2, 1), (2, 3), (0, 0)])
def test_at_other_epochs_nothing_is_fitted(pretrain_epochs: int, epoch: int) -> None:
    model = at_epoch(make(pretrain_epochs=pretrain_epochs), epoch)
    model.prepare([batch(40)])
    before = model.prior.mean.clone()
    model.on_train_epoch_start()
    assert torch.equal(model.prior.mean, before)


def test_masked_categories_have_no_part() -> None:
    model = spread(make())
    model.prune([1])
    model.prepare([batch(40)])
    model.terms(batch()).total().backward()
    assert not model.prior.mean.grad[0, 1].any()
    before = model.prior.mean[0, 1].clone()
    model.fit_prior()
    assert torch.equal(model.prior.mean[0, 1], before)


MIRRORED = {"layerwise_epochs": 3, "pretrain_epochs": 2}
OWN = (  # of each layer of `toys.agents_of`, the outermost first
    ("agents.encoder.layers.0", "agents.decoder.output"),
    ("agents.encoder.layers.2", "agents.decoder.layers.0"),
    ("agents.state_from_features", "agents.code_from_category.bias", "agents.code_from_state"),
)


def test_the_pairs_of_layers_are_the_autoencoder() -> None:
    model = make()
    first, second, third = layer_pairs(model.agents)
    x = batch().x
    mean = third.encode(second.encode(first.encode(x)))
    torch.testing.assert_close(mean, model.latent(x)[0])
    again = first.decode(second.decode(third.decode(mean)))
    torch.testing.assert_close(again, model.decode_latent(mean))


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_layer_alone_gives_back_its_input(layer: int) -> None:
    model = at_epoch(make(**MIRRORED), 3 * layer)
    model.dropout = torch.nn.Identity()
    x, agents = batch().x, model.agents
    one, two = agents.encoder.layers[:2], agents.encoder.layers[2:]
    hidden, bias = one(x), agents.code_from_category.bias
    if layer == 0:
        expected = model.likelihood.nll(agents.decoder.output(hidden), x)
    elif layer == 1:
        again = agents.decoder.layers(two(hidden))
        expected = (again - hidden).square().sum(-1)
    else:
        z = agents.state(two(hidden))[0]
        again = (z @ agents.code_from_state.weight + bias).relu()
        expected = (again - two(hidden)).square().sum(-1)
    terms = model.terms(batch())
    assert list(terms.means()) == ["layer_reconstruction"]
    torch.testing.assert_close(terms.total(), expected.mean())


def test_the_outermost_pair_drops_no_value_of_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: dict[int, list[int]] = {}
    for layer in (0, 1, 2):
        model = at_epoch(make(**MIRRORED), 3 * layer)
        widths: list[int] = dropped.setdefault(layer, [])
        monkeypatch.setattr(
            model.dropout, "forward", lambda x, seen=widths: seen.append(x.shape[-1]) or x
        )
        model.terms(batch())
    assert dropped == {0: [8], 1: [8, 5], 2: [5]}


def test_layers_are_trained_one_after_the_other_and_what_is_below_rests() -> None:
    networks = partial(
        toys.agents_of(),
        encoder=partial(MLPEncoder, hidden=(16, 12)),
        decoder=partial(MLPDecoder, hidden=(12, 16)),
    )
    model = make(**MIRRORED, agents=networks, state_dim=4)
    model.prepare([batch(40)])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-2)
    errors = []
    for epoch in range(9):
        at_epoch(model, epoch)._trainer.optimizers = [optimizer]  # type: ignore[union-attr]
        before = {name: value.clone() for name, value in model.named_parameters()}
        model.on_train_epoch_start()
        for _ in range(15):
            model.dropout.eval()
            errors.append(float(model.terms(batch(40)).total().detach()))
            model.dropout.train()
            optimizer.zero_grad()
            model.terms(batch(40)).total().backward()
            optimizer.step()
        own = OWN[epoch // 3]
        for name, value in model.named_parameters():
            # Every process of a distributed run waits for a gradient of each parameter.
            assert value.grad is not None or not value.requires_grad, name
            assert torch.equal(value, before[name]) != name.startswith(own), (epoch, name)
    for error in torch.tensor(errors).view(3, 45):
        assert error[-10:].max() < 0.9 * error[0]


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (toys.agents_of("before"), "got batch norm"),
        (toys.agents_of("none", "after"), "got batch norm"),
        (
            partial(toys.agents_of(), decoder=partial(MLPDecoder, hidden=(5, 9))),
            r"\[8, 5\] and \[5, 9\]",
        ),
        (
            partial(toys.agents_of(), decoder=partial(MLPDecoder, hidden=(5,))),
            r"\[8, 5\] and \[5\]",
        ),
    ],
)
def test_networks_whose_layers_do_not_mirror_are_refused(networks: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"model.layerwise_epochs needs .* {message}"):
        make(**MIRRORED, agents=networks)
    assert make(agents=networks).num_layers == 0
    assert make(agents=networks).settled_epoch == 2  # the categories are judged after the fit


def test_convolutions_have_no_layers_to_train_alone() -> None:
    networks = partial(
        Agents,
        encoder=partial(ConvEncoder, channels=(4,), features=5),
        decoder=partial(ConvDecoder, channels=(4,), features=5),
    )
    with pytest.raises(ValueError, match="got ConvEncoder and ConvDecoder"):
        make(**MIRRORED, agents=networks, shape=(1, 4, 4))


SMALL = (
    "+experiment=digits_vade",
    "model.pretrain_epochs=2",
    "model.num_starts=2",
    "model.agents.encoder.hidden=[16,8]",
    "model.agents.decoder.hidden=[16]",
    "logger=csv",
    "~callbacks.figures",
)
LAYERS = (
    "model.layerwise_epochs=2",  # 3 layers
    "model.pretrain_epochs=1",
    "model.agents.encoder.batch_norm=none",
    "model.agents.decoder.batch_norm=none",
    "model.agents.decoder.hidden=[8,16]",
)


@pytest.mark.parametrize(
    ("own", "epochs", "stops"),
    [((), 4, (1, 2)), pytest.param(LAYERS, 8, (3, 4, 7), marks=pytest.mark.slow)],
    ids=["whole", "layers"],
)
def test_a_run_resumed_before_the_fit_or_at_it_ends_with_the_same_weights(
    own: tuple[str, ...],
    epochs: int,
    stops: tuple[int, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    small, last = [*SMALL, *own], f"trainer.max_epochs={epochs}"
    assert main([*small, last, "run_dir=whole"]) == 0
    whole = torch.load(tmp_path / "whole" / "checkpoints" / "last.ckpt", weights_only=True)
    for stop in stops:
        # No run begins whose epochs are all the autoencoder's: as if one were stopped there.
        with monkeypatch.context() as patch:
            patch.setattr(VaDE, "check_epochs", lambda *_: None)
            assert main([*small, f"trainer.max_epochs={stop}", f"run_dir=stopped{stop}"]) == 0
        assert main([f"resume=stopped{stop}", last]) == 0
        path = tmp_path / f"stopped{stop}" / "checkpoints" / "last.ckpt"
        parts = torch.load(path, weights_only=True)
        assert whole["epoch"] == parts["epoch"]
        for name, tensor in whole["state_dict"].items():
            assert torch.equal(tensor, parts["state_dict"][name]), name
