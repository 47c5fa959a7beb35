"""Models of several modalities: literal objectives, what is missing, measured steps, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from toys import EVENTS, SPECS, events

from mixvae.contracts import ModalitySpec, MultimodalBatch, MultimodalModel
from mixvae.evaluation.multimodal_health import MultimodalEvaluation
from mixvae.modules import MMVM, Autoencoder, JointPosteriorVAE, MMVAEPlus, mmvae_plus, mmvm
from mixvae.modules.modality_checks import MAX_SOURCES, weights_by_size
from mixvae.modules.multimodal import AbstractMultimodalModule
from mixvae.objectives import posteriors
from mixvae.objectives.divergences import kl_to_standard_normal
from mixvae.objectives.likelihoods import Bernoulli
from mixvae.objectives.mixture_prior import log_density, pairwise_kl
from mixvae.objectives.modality_likelihoods import Categorical, Poisson
from mixvae.objectives.schedules import Linear

M, B, L = len(SPECS), 9, 2
MODELS: dict[str, Callable[..., AbstractMultimodalModule]] = {
    "mmvm": MMVM,
    "mmvm mixture": partial(MMVM, kl="mixture"),
    "independent": partial(MMVM, alpha=1.0),
    "avg": partial(JointPosteriorVAE, aggregate="avg"),
    "poe": partial(JointPosteriorVAE, aggregate="poe"),
    "poe prior": partial(JointPosteriorVAE, aggregate="poe", prior_expert=True),
    "moe": partial(JointPosteriorVAE, aggregate="moe"),
    "mopoe": partial(JointPosteriorVAE, aggregate="mopoe"),
    "mmvae plus": MMVAEPlus,
    "ae": Autoencoder,
}
every_model = pytest.mark.parametrize("name", MODELS)


def make(name: str, **options: object) -> AbstractMultimodalModule:
    torch.manual_seed(0)
    return MODELS[name](**{**EVENTS, "latent_dim": L, **options})


def batch(present: Tensor | None = None, size: int = B) -> MultimodalBatch:
    generator = torch.Generator().manual_seed(1)
    x = [torch.randn(size, *spec.shape, generator=generator) for spec in SPECS]
    return events(*x, present=present)


def data_of(whole: MultimodalBatch, rows: slice) -> MultimodalBatch:
    return events(*(x[rows] for x in whole.x), present=whole.present[rows])


@pytest.fixture
def without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The samples are their means, so that a literal loop can follow."""
    for module in (mmvm, mmvae_plus, posteriors):
        monkeypatch.setattr(module, "reparametrise", lambda mean, *_: mean)


def squared_error(model: AbstractMultimodalModule, code: Tensor, m: int, x: Tensor) -> Tensor:
    return (model.networks.decode(code, m) - x).square().flatten(1).sum(1)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_mmvm_equals_its_formula(alpha: float, without_noise: None) -> None:
    model = make("mmvm", alpha=alpha, beta=0.7, weights={"cat": 3.0})
    data = batch()
    mean, logvar = model.networks.encode(data.x)
    expected = 0.7 * (1 - alpha) * pairwise_kl(mean, logvar).mean()
    for m, weight in enumerate((1.0, 1.0, 3.0)):
        expected = expected + weight * squared_error(model, mean[m], m, data.x[m]).mean()
        expected = expected + 0.7 * alpha * kl_to_standard_normal(mean[m], logvar[m]).mean()
    torch.testing.assert_close(model.terms(data).total(), expected)
    torch.testing.assert_close(model.settled_loss(model.predict_step(data), data.present), expected)


def test_alpha_one_is_one_vae_for_each_modality(without_noise: None) -> None:
    model, data = make("independent", beta=0.4), batch()
    total = model.terms(data).total()
    gradients = torch.autograd.grad(total, list(model.parameters()))
    expected: list[Tensor] = []
    for m, x in enumerate(data.x):
        mean, logvar = model.networks.encoders[m](x)
        loss = squared_error(model, mean, m, x) + 0.4 * kl_to_standard_normal(mean, logvar)
        networks = (model.networks.encoders[m], model.networks.decoders[m])
        own = [parameter for network in networks for parameter in network.parameters()]
        expected += torch.autograd.grad(loss.mean(), own)
    # The model holds all encoders first.
    known = {id(p): g for p, g in zip(model.parameters(), gradients, strict=True)}
    order = [
        parameter
        for m in range(M)
        for network in (model.networks.encoders[m], model.networks.decoders[m])
        for parameter in network.parameters()
    ]
    for parameter, want in zip(order, expected, strict=True):
        torch.testing.assert_close(known[id(parameter)], want)


@pytest.mark.parametrize("kind", ["avg", "poe"])
def test_joint_posterior_equals_its_formula(kind: str, without_noise: None) -> None:
    model, data = make(kind, beta=0.7), batch()
    mean, logvar = model.networks.encode(data.x)
    if kind == "avg":
        joint, variance = mean.mean(0), logvar.exp().mean(0)
    else:
        variance = 1 / (-logvar).exp().sum(0)
        joint = variance * ((-logvar).exp() * mean).sum(0)
    # Once, and not once for each modality.
    expected = 0.7 * kl_to_standard_normal(joint, variance.log()).mean()
    for m, x in enumerate(data.x):
        expected = expected + squared_error(model, joint, m, x).mean()
    torch.testing.assert_close(model.terms(data).total(), expected)
    torch.testing.assert_close(model.settled_loss(model.predict_step(data), data.present), expected)


def test_mmvae_plus_equals_its_formula(without_noise: None) -> None:
    model, data = make("mmvae plus", beta=0.7, private_dim=3), batch()
    assert isinstance(model, MMVAEPlus)
    with torch.no_grad():
        model.private_prior_mean.normal_()
    mean, logvar = model.networks.encode(data.x)
    shared, private = mean[..., :L], mean[..., L:]
    expected = torch.zeros(())
    for m in range(M):
        for n in range(M):
            own = private[m] if m == n else model.private_prior_mean[n].expand(B, -1)
            code = torch.cat([shared[m], own], dim=-1)
            expected = expected + squared_error(model, code, n, data.x[n]).mean() / M
        density = log_density(shared[m], shared, logvar[..., :L])
        ratio = torch.logsumexp(density, 0) - math.log(M)
        ratio = ratio + 0.5 * (shared[m].square() + math.log(2 * math.pi)).sum(-1)
        own_kl = kl_to_standard_normal(private[m], logvar[m, :, L:])
        expected = expected + 0.7 * (ratio + own_kl).mean() / M
    torch.testing.assert_close(model.terms(data).total(), expected)
    reconstruction = model.terms(data)["reconstruction"].mean()
    step = model.predict_step(data)
    settled = model.settled_terms(step, data.present)["reconstruction"].mean()
    torch.testing.assert_close(settled, reconstruction)


def test_the_settled_mixture_kl_is_its_formula_whatever_the_batch() -> None:
    model, data = make("mmvm mixture", alpha=0.3), batch(torch.rand(100, M) < 0.7, size=100)
    step = model.predict_step(data)
    parts = [data_of(data, slice(at, at + 7)) for at in range(0, 100, 7)]
    kl = torch.cat([model.predict_step(part).kl for part in parts])
    torch.testing.assert_close(kl, step.kl, rtol=1e-4, atol=1e-5)

    mean, logvar = step.posterior[:2]
    shape = (mmvm.EVALUATION_DRAWS, M, 1, L)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for event in range(5):
        there = [m for m in range(M) if data.present[event, m]]
        expected = 0.3 * sum(kl_to_standard_normal(mean[m, event], logvar[m, event]) for m in there)
        for draw in noise:
            for m in there:
                z = mean[m, event] + (0.5 * logvar[m, event]).exp() * draw[m, 0]
                density = [log_density(z, mean[n, event], logvar[n, event]) for n in there]
                mixture = torch.stack(density).logsumexp(0) - math.log(len(there))
                own = log_density(z, mean[m, event], logvar[m, event])
                expected = expected + 0.7 * (own - mixture) / mmvm.EVALUATION_DRAWS
        torch.testing.assert_close(step.kl[event], torch.as_tensor(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mmvm", "avg", "mmvae plus", "ae"])
def test_validation_logs_the_reconstruction_that_training_logs(
    name: str, without_noise: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = make(name, weights={"cat": 3.0}), batch(torch.rand(B, M) < 0.7)
    logged: dict[str, Tensor] = {}
    monkeypatch.setattr(model, "log_dict", lambda values, **_: logged.update(values))
    step = model.validation_step(data, 0)
    expected = model.terms(data).means()["reconstruction"]
    torch.testing.assert_close(logged["val/objective_reconstruction"], expected)
    torch.testing.assert_close(logged["val/loss"], model.settled_loss(step, data.present))


def test_the_autoencoder_draws_nothing() -> None:
    model, data = make("ae"), batch()
    before = torch.random.get_rng_state()
    total = model.terms(data).total()
    assert torch.equal(before, torch.random.get_rng_state())
    step = model.predict_step(data)
    torch.testing.assert_close(step.reconstruction.sum(0).mean(), total)
    assert not step.kl.any()


@every_model
def test_a_missing_modality_gets_no_gradient_whatever_stands_there(name: str) -> None:
    model = make(name)
    present = torch.rand(B, M) < 0.6
    present[:, 1] = False  # not there at all
    present[0] = False
    present[1:, 0] = True
    data = batch(present)
    for m, x in enumerate(data.x):
        x[~present[:, m]] = torch.nan
    total = model.terms(data).total()
    total.backward()
    assert total.isfinite()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        if key.startswith(("networks.encoders.1.", "networks.decoders.1.")):
            assert not parameter.grad.any(), key
        if key.startswith("networks.encoders.0."):
            assert parameter.grad.any(), key


@every_model
def test_what_stands_in_the_place_of_a_missing_sample_does_not_matter(name: str) -> None:
    model = make(name)
    present = torch.rand(B, M) < 0.6
    present[:, 0] = True
    one, other = batch(present), batch(present)
    for m, x in enumerate(other.x):
        x[~present[:, m]] = 100.0
    totals = []
    for data in (one, other):
        torch.manual_seed(3)
        totals.append(model.terms(data).total())
    assert torch.equal(*totals)
    for got, want in zip(model.predict_step(one)[1:4], model.predict_step(other)[1:4], strict=True):
        assert torch.equal(got, want)


@every_model
def test_a_measured_step_holds_what_the_contract_says(name: str) -> None:
    model = make(name)
    present = torch.rand(B, M) < 0.6
    present[:, 0] = True
    data = batch(present)
    assert isinstance(model, MultimodalModel)
    before = torch.random.get_rng_state()
    step, again = model.predict_step(data), model.predict_step(data)
    assert torch.equal(before, torch.random.get_rng_state())  # no draw that training would miss
    assert torch.equal(step.kl, again.kl)
    posterior = step.posterior
    assert posterior.mean.shape == posterior.logvar.shape == (M, B, L)
    assert not posterior.mean[~present.t()].any()
    assert not posterior.logvar[~present.t()].any()
    assert step.kl.shape == (B,)
    assert (step.kl >= -1e-6).all() or name == "mmvm mixture"
    both = present.t()[:, None] & present.t()[None]
    assert step.imputation.shape == (M, M, B)
    assert not step.imputation[~both].any()
    assert not step.reconstruction[~present.t()].any()
    for m in range(M):
        for n, x in enumerate(data.x):
            error = (model.decode(posterior.mean[m], n) - x).square().flatten(1).sum(1)
            where = both[m, n]
            torch.testing.assert_close(step.imputation[m, n][where], error[where])
            if posterior.joint_mean is not None and "plus" not in name:
                joint = (model.decode(posterior.joint_mean, n) - x).square().flatten(1).sum(1)
                torch.testing.assert_close(step.reconstruction[n][where], joint[where])
    for got, want in zip(model.infer(data.x, present), posterior, strict=True):
        assert (got is None) == (want is None)
        assert got is None or torch.equal(got, want)
    assert (posterior.joint_mean is None) == (name in ("ae", "independent") or "mmvm" in name)


def test_the_prior_expert_is_there_for_one_modality_alone_too() -> None:
    with_prior, without = make("poe prior"), make("poe")
    data = batch()
    got, raw = (model.infer(data.x, data.present) for model in (with_prior, without))
    precision = 1 + (-raw.logvar).exp()
    torch.testing.assert_close(got.logvar, -precision.log())
    torch.testing.assert_close(got.mean, raw.mean * (-raw.logvar).exp() / precision)


@every_model
def test_one_modality_alone_works(name: str) -> None:
    model = make(name, modalities=SPECS[:1])
    data = batch()
    data = data._replace(x=data.x[:1], present=data.present[:, :1])
    terms = model.terms(data)
    assert terms.total().isfinite()
    if "mmvm" in name:
        assert terms["kl"].mean().abs() < 1e-6


def test_schedules_are_followed() -> None:
    model = make("mmvm", alpha=Linear(1.0, 0.0, length=10), beta=Linear(0.0, 2.0, length=10))
    assert isinstance(model, MMVM)
    data = batch()
    start = model.terms(data)
    assert (start._terms["kl"].weight, start._terms["prior_kl"].weight) == (0.0, 0.0)
    step = model.predict_step(data)
    torch.testing.assert_close(step.kl, pairwise_kl(*step.posterior[:2]))  # as it will end


def test_likelihoods_by_name() -> None:
    model = make("mmvm", likelihoods={"mouse": Categorical(), "cat": Bernoulli()})
    kinds = [type(family).__name__ for family in model.likelihoods]
    assert kinds == ["SquaredError", "Categorical", "Bernoulli"]
    probs = model.decode(torch.randn(5, L), 1)
    torch.testing.assert_close(probs.sum(-1), torch.ones(5, 4))


def test_names_that_yaml_reads_as_numbers_are_texts() -> None:
    specs = (ModalitySpec("1", (6,)), ModalitySpec("2", (4, 2)))
    model = make("mmvm", modalities=specs, likelihoods={2: Categorical()}, weights={1: 3.0})
    assert isinstance(model.likelihoods[1], Categorical)
    assert model.modality_weights.flatten().tolist() == [3.0, 1.0]


def test_check_names_the_modality_that_its_likelihood_contradicts() -> None:
    model = make("mmvm", likelihoods={"mouse": Poisson()})
    data = batch()
    with pytest.raises(ValueError, match=r"modality 'mouse': the Poisson likelihood needs counts"):
        model.check(data)
    data.x[1].abs_().round_()
    model.check(data)
    # What is missing may be anything, also everywhere.
    data.x[1][:] = -1
    data.present[:, 1] = False
    model.check(data)


def test_check_refuses_other_arrays() -> None:
    model, data = make("ae"), batch()
    wrong = (data.x[0], data.x[2], data.x[1])
    with pytest.raises(ValueError, match=r"'mouse' has shape \(4, 2\), got \(3,\)"):
        model.check(data._replace(x=wrong))
    with pytest.raises(ValueError, match="3 modalities, got 2"):
        model.check(data._replace(x=data.x[:2]))


@every_model
def test_impute_is_what_the_modalities_present_decode_to(name: str) -> None:
    model = make(name).eval()
    present = torch.rand(B, M, generator=torch.Generator().manual_seed(3)) < 0.6
    present[:, 0] |= ~present.any(dim=1)
    data = batch(present)
    posterior = model.infer(data.x, present)
    has_joint = isinstance(model, JointPosteriorVAE)
    for n, found in enumerate(model.impute(data.x, present)):
        for event in range(B):
            if has_joint:
                assert posterior.joint_mean is not None
                codes = [posterior.joint_mean[event]]
            else:
                codes = [posterior.mean[m, event] for m in range(M) if present[event, m]]
            decoded = torch.stack([model.decode(code[None], n)[0] for code in codes])
            torch.testing.assert_close(found[event], decoded.mean(dim=0))


@pytest.mark.parametrize("kl", ["pairwise", "mixture"])
def test_of_many_modalities_a_validation_imputes_few_pairs_and_a_test_all(kl: str) -> None:
    count = MAX_SOURCES + 4
    specs = [ModalitySpec(str(m), (3,)) for m in range(count)]
    model = make(f"mmvm{' mixture' * (kl == 'mixture')}", modalities=specs).eval()
    model.log_dict = lambda *_, **__: None  # there is no trainer to log to
    x = tuple(torch.randn(B, 3) for _ in specs)
    present = torch.rand(B, count) < 0.8
    data = events(*x, present=present)
    step, whole = model.validation_step(data, 0), model.test_step(data, 0)
    assert whole.pairs is None
    pairs = step.pairs
    assert pairs is not None
    assert pairs.sum(0).tolist() == pairs.sum(1).tolist() == [MAX_SOURCES] * count
    assert not pairs.diagonal().any()
    torch.testing.assert_close(step.imputation[pairs], whole.imputation[pairs])
    assert not step.imputation[~pairs].any()
    torch.testing.assert_close(step.kl, whole.kl)
    metric = MultimodalEvaluation([spec.name for spec in specs])
    metric.update(step, present)
    both = present.T[:, None] & present.T[None]
    each = (step.imputation * both).sum(-1) / both.sum(-1)
    assert metric.compute()["imputation"] == pytest.approx(each[pairs].mean().item(), rel=1e-5)


def test_all_pairs_are_validated_where_they_are_few_or_part_of_the_objective() -> None:
    assert make("mmvm").validated_pairs() is None
    specs = [ModalitySpec(str(m), (3,)) for m in range(MAX_SOURCES + 1)]
    assert make("mmvae plus", modalities=specs).validated_pairs() is None


def test_weights_by_size_are_those_of_the_paper_s_data() -> None:
    celeba = [
        ModalitySpec("image", (3, 64, 64), "image"),
        ModalitySpec("text", (256, 41), "tokens"),
    ]
    assert weights_by_size(celeba) == {"image": 1, "text": 16}
    cub = [celeba[0], ModalitySpec("caption", (32, 1868), "tokens")]
    assert weights_by_size(cub) == {"image": 1, "caption": 128}
    model = make("mmvm", weights="size")
    assert model.modality_weights.flatten().tolist() == pytest.approx([8 / 6, 1, 8 / 3])


def test_the_bounds_of_subsets_are_those_of_data_without_the_rest(without_noise: None) -> None:
    model = make("poe prior", beta=0.7, subset_bounds=0)
    plain = make("poe prior", beta=0.7)
    data = batch(torch.rand(B, M) < 0.8)
    parts = [data, *(data._replace(present=data.present & one) for one in torch.eye(M).bool())]
    expected = sum(plain.terms(part).total() for part in parts)
    torch.testing.assert_close(model.terms(data).total(), expected)
    torch.testing.assert_close(
        model.settled_loss(model.predict_step(data), data.present),
        plain.settled_loss(plain.predict_step(data), data.present),
    )
    more = make("poe prior", beta=0.7, subset_bounds=3)
    assert more.terms(data).total() >= expected  # each bound of a subset is above 0 here
