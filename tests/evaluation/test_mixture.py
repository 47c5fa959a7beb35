"""The accumulated evaluation against scikit-learn on everything at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch import Tensor

from mixvae.contracts import MixturePosterior, MixtureStep
from mixvae.evaluation.consensus import vote
from mixvae.evaluation.mixture import MixtureEvaluation

A, B, K, C, S = 3, 90, 5, 4, 2


def draw_step(num_agents: int = A, num_categories: int = K, sharpness: float = 3.0) -> MixtureStep:
    """Draw what a model with noisy but related agents would return."""
    common = torch.randn(1, B, num_categories)
    logits = sharpness * (common + 0.5 * torch.randn(num_agents, B, num_categories))
    state = torch.randn(num_agents, B, S)
    posterior = MixturePosterior(logits.softmax(-1), state, torch.zeros_like(state))
    return MixtureStep(posterior, 100 * torch.rand(num_agents, B), torch.rand(num_agents, B))


def part(step: MixtureStep, rows: slice) -> MixtureStep:
    """Cut rows out of a step."""
    posterior = MixturePosterior(*(value[:, rows] for value in step.posterior))
    return MixtureStep(posterior, step.reconstruction[:, rows], step.kl[:, rows])


def evaluate(step: MixtureStep, label: Tensor, batch_size: int = B) -> dict[str, float]:
    """Evaluate in batches."""
    num_agents, _, num_categories = step.posterior.probs.shape
    metric = MixtureEvaluation(num_agents, num_categories, C)
    for start in range(0, B, batch_size):
        rows = slice(start, start + batch_size)
        metric.update(part(step, rows), label[rows])
    return {name: value.item() for name, value in metric.compute().items()}


@pytest.fixture
def step() -> MixtureStep:
    torch.manual_seed(0)
    return draw_step()


@pytest.fixture
def label() -> Tensor:
    return torch.randint(C, (B,), generator=torch.Generator().manual_seed(0))


def test_label_measures_equal_scikit_learn(step: MixtureStep, label: Tensor) -> None:
    values = evaluate(step, label)
    category = {f"/agent{a}": step.posterior.probs[a].argmax(-1) for a in range(A)}
    category[""] = vote(step.posterior.probs)
    for suffix, guess in category.items():
        nmi = normalized_mutual_info_score(label, guess)
        assert values[f"nmi{suffix}"] == pytest.approx(nmi, abs=1e-12)
        ari = adjusted_rand_score(label, guess)
        assert values[f"ari{suffix}"] == pytest.approx(ari, abs=1e-12)


def test_means_are_those_of_all_samples(step: MixtureStep, label: Tensor) -> None:
    values = evaluate(step, label, batch_size=7)
    entropy = scipy_entropy(step.posterior.probs.double().numpy(), axis=-1).mean()
    assert values["entropy"] == pytest.approx(entropy, rel=1e-6)
    assert values["entropy_fraction"] == pytest.approx(entropy / math.log(K), rel=1e-6)
    assert values["reconstruction"] == pytest.approx(step.reconstruction.mean().item(), rel=1e-6)
    assert values["kl"] == pytest.approx(step.kl.mean().item(), rel=1e-6)


@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_batches_add_up(step: MixtureStep, label: Tensor, batch_size: int) -> None:
    assert evaluate(step, label, batch_size) == pytest.approx(evaluate(step, label), rel=1e-12)


def test_ranks_add_up(step: MixtureStep, label: Tensor) -> None:
    halves = [MixtureEvaluation(A, K, C) for _ in range(2)]
    for metric, rows in zip(halves, [slice(0, 25), slice(25, B)], strict=True):
        metric.update(part(step, rows), label[rows])
    halves[0].merge_state(halves[1])
    merged = {name: value.item() for name, value in halves[0].compute().items()}
    assert merged == pytest.approx(evaluate(step, label), rel=1e-12)


def test_tables_are_those_of_a_literal_count(step: MixtureStep, label: Tensor) -> None:
    metric = MixtureEvaluation(A, K, C)
    metric.update(step, label)
    counts = metric.counts()
    category = [*step.posterior.probs.argmax(-1).tolist(), vote(step.posterior.probs).tolist()]
    labels = np.zeros((A + 1, K, C), dtype=np.int64)
    joint = np.zeros((A, A, K, K), dtype=np.int64)
    for n in range(B):
        for a in range(A + 1):
            labels[a, category[a][n], label[n]] += 1
        for a in range(A):
            for b in range(A):
                joint[a, b, category[a][n], category[b][n]] += 1
    np.testing.assert_array_equal(counts.labels, labels)
    np.testing.assert_array_equal(counts.occupancy, labels.sum(-1))
    np.testing.assert_array_equal(counts.joint, joint)


def test_unknown_labels_are_left_out_of_label_measures_only(
    step: MixtureStep, label: Tensor
) -> None:
    partly = torch.where(torch.arange(B) % 3 == 0, -1, label)
    values, complete = evaluate(step, partly), evaluate(step, label)
    known = partly >= 0
    guess = vote(step.posterior.probs)[known]
    nmi = normalized_mutual_info_score(label[known], guess)
    assert values["nmi"] == pytest.approx(nmi, abs=1e-12)
    for name in ("consensus", "entropy", "reconstruction", "populated_categories"):
        assert values[name] == complete[name]


@pytest.mark.parametrize("num_classes", [0, C])
def test_without_labels_their_measures_are_absent(step: MixtureStep, num_classes: int) -> None:
    metric = MixtureEvaluation(A, K, num_classes)
    metric.update(step, torch.full((B,), -1))
    names = set(metric.compute())
    assert not any(name.startswith(("accuracy", "nmi", "ari")) for name in names)
    assert {"consensus", "entropy", "kl", "collapse_warning"} <= names


def test_one_agent_has_no_consensus_and_votes_alone(label: Tensor) -> None:
    torch.manual_seed(0)
    values = evaluate(draw_step(num_agents=1), label)
    assert not any("consensus" in name for name in values)
    assert values["accuracy"] == values["accuracy/agent0"]


@pytest.mark.parametrize("num_categories", [2, K])
def test_one_populated_category_is_finite_and_warned_of(label: Tensor, num_categories: int) -> None:
    step = draw_step(num_categories=num_categories)
    step.posterior.probs.zero_()
    step.posterior.probs[..., 1] = 1.0
    values = evaluate(step, label)
    assert all(math.isfinite(value) for value in values.values())
    assert values["populated_categories"] == 1
    assert values["entropy"] == 0.0
    assert values["nmi"] == 0.0
    assert values["consensus"] == pytest.approx(1 / num_categories)
    assert values["populated_consensus"] == 1.0
    assert values["min_consensus"] == 0.0
    assert values["collapse_warning"] == 1.0


def test_agents_that_only_name_their_categories_differently_are_no_collapse(label: Tensor) -> None:
    step = draw_step(num_agents=2)
    category = torch.arange(B) % K
    # Each agent uses all categories, while the vote ties between their names.
    chosen = torch.stack([category, (category + 1) % K])
    step.posterior.probs.copy_(torch.nn.functional.one_hot(chosen, K))
    values = evaluate(step, label)
    assert values["populated_by_agents"] == K
    assert values["collapse_warning"] == 0.0


def test_a_flat_posterior_is_warned_of(label: Tensor) -> None:
    values = evaluate(draw_step(sharpness=1e-3), label)
    assert values["entropy_fraction"] == pytest.approx(1.0, abs=1e-4)
    assert values["collapse_warning"] == 1.0


def test_half_precision_posteriors_are_taken(step: MixtureStep, label: Tensor) -> None:
    posterior = MixturePosterior(*(value.bfloat16() for value in step.posterior))
    values = evaluate(MixtureStep(posterior, step.reconstruction, step.kl), label)
    assert values["entropy"] == pytest.approx(evaluate(step, label)["entropy"], rel=0.02)


def test_pruned_categories_are_as_if_they_had_never_been(label: Tensor) -> None:
    torch.manual_seed(0)
    small = draw_step(num_categories=3)
    probs = torch.zeros(A, B, K)
    kept = [0, 2, 3]
    probs[..., kept] = small.posterior.probs
    step = MixtureStep(small.posterior._replace(probs=probs), small.reconstruction, small.kl)
    mask = torch.zeros(K, dtype=torch.bool)
    mask[kept] = True
    metric = MixtureEvaluation(A, K, C, mask=mask)
    metric.update(step, label)
    values = {name: value.item() for name, value in metric.compute().items()}
    assert values == pytest.approx(evaluate(small, label))
    assert values["kept_categories"] == 3
    # Without the mask they count as empty.
    assert evaluate(step, label)["consensus"] == pytest.approx(0.6 * values["consensus"])
    assert evaluate(step, label)["min_consensus"] == 0.0
