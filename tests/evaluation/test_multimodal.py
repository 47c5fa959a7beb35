"""Sums over batches and ranks give the means over all events; what is missing counts nowhere."""

from __future__ import annotations

import pytest
import torch

from mixvae.contracts import MultimodalPosterior, MultimodalStep
from mixvae.evaluation.multimodal_health import MultimodalEvaluation

NAMES = ("a", "b", "c")


def make(size: int, seed: int = 0) -> tuple[MultimodalStep, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(size, 3, generator=generator) < 0.7
    present[:, 0] |= ~present.any(1)
    # Whatever stands in the place of a missing value, NaN included, must not be seen.
    there = present.T
    nan = torch.tensor(float("nan"))
    reconstruction = torch.where(there, 5 * torch.rand(3, size, generator=generator), nan)
    both = there[:, None] & there[None]
    imputation = torch.where(both, 9 * torch.rand(3, 3, size, generator=generator), nan)
    posterior = MultimodalPosterior(torch.zeros(3, size, 2), torch.zeros(3, size, 2))
    kl = torch.rand(size, generator=generator)
    return MultimodalStep(posterior, reconstruction, imputation, kl), present


def cut(step: MultimodalStep, events: slice) -> MultimodalStep:
    return MultimodalStep(
        step.posterior,
        step.reconstruction[:, events],
        step.imputation[..., events],
        step.kl[events],
    )


def test_means_leave_missing_modalities_out() -> None:
    step, present = make(40)
    metric = MultimodalEvaluation(NAMES)
    metric.update(step, present)
    values = metric.compute()
    means = step.reconstruction.nanmean(-1)
    pairs = step.imputation.nanmean(-1)
    for m, name in enumerate(NAMES):
        assert values[f"reconstruction/{name}"] == pytest.approx(means[m].item(), rel=1e-6)
        for n, other in enumerate(NAMES):
            if m != n:
                expected = pytest.approx(pairs[m, n].item(), rel=1e-6)
                assert values[f"imputation/{name}_to_{other}"] == expected
    assert values["reconstruction"] == pytest.approx(means.sum().item(), rel=1e-6)
    others = pairs[~torch.eye(3, dtype=torch.bool)].mean().item()
    assert values["imputation"] == pytest.approx(others, rel=1e-6)
    assert values["kl"] == pytest.approx(step.kl.mean().item(), rel=1e-6)
    assert all(value.dtype == torch.float64 for value in values.values())


def test_batches_and_ranks_add_up() -> None:
    step, present = make(50)
    whole = MultimodalEvaluation(NAMES)
    whole.update(step, present)
    ranks = [MultimodalEvaluation(NAMES) for _ in range(2)]
    for number, start in enumerate(range(0, 50, 7)):
        events = slice(start, start + 7)
        ranks[number % 2].update(cut(step, events), present[events])
    for name in whole._defaults:
        setattr(ranks[0], name, getattr(ranks[0], name) + getattr(ranks[1], name))
    expected = whole.compute()
    assert set(ranks[0].compute()) == set(expected)
    for name, value in ranks[0].compute().items():
        assert value == pytest.approx(expected[name].item(), rel=1e-12)


def test_what_no_event_tells_is_left_out() -> None:
    step, present = make(10)
    present[:, 1] = False
    metric = MultimodalEvaluation(NAMES)
    metric.update(step, present)
    values = metric.compute()
    assert not any("/b" in name or "b_to" in name or "to_b" in name for name in values)
    total = values["reconstruction/a"] + values["reconstruction/c"]
    assert values["reconstruction"] == pytest.approx(total.item())


def test_one_modality_imputes_nothing() -> None:
    step, present = make(10)
    metric = MultimodalEvaluation(("a",))
    one = step._replace(reconstruction=step.reconstruction[:1], imputation=step.imputation[:1, :1])
    metric.update(one, present[:, :1])
    assert set(metric.compute()) == {"reconstruction", "reconstruction/a", "kl"}
