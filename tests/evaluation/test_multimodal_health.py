"""Each fault of several modalities is named with its remedy, and healthy ones with nothing."""

from __future__ import annotations

import pytest
import torch

from mixvae.evaluation.multimodal_health import (
    LatentHealth,
    Losses,
    diagnose_events,
    diagnose_latents,
)

HEALTHY = {
    "names": ["a", "b"],
    "dimensions": [1.8, 1.6],
    "explained": [0.2, 0.01],
    "latent_dim": 2,
    "losses": Losses((5.0, 9.0), {"a": 100.0, "b": 80.0}),
}


def test_a_healthy_model_has_no_fault() -> None:
    assert diagnose_latents(**HEALTHY) == {}
    assert diagnose_latents(**{**HEALTHY, "losses": Losses(None, {})}) == {}
    assert diagnose_events(["a", "b"], [400, 300], 300) == {}
    assert diagnose_events(["a"], [400], 0) == {}


@pytest.mark.parametrize(
    ("fault", "changed", "words"),
    [
        ("line", {"dimensions": [1.02, 1.0]}, "model.beta=auto"),
        ("mean b", {"explained": [0.2, -0.01]}, "model.weights.b"),
        (
            "overconfident",
            {"losses": Losses((0.4, 870.0), {"a": 100.0, "b": 80.0})},
            "input_dropout",
        ),
        ("dominant", {"losses": Losses(None, {"a": 3e6, "b": 80.0})}, "model.weights.a"),
    ],
)
def test_a_fault_is_named_with_its_remedy(fault: str, changed: dict, words: str) -> None:
    found = diagnose_latents(**{**HEALTHY, **changed})
    assert list(found) == [fault]
    assert words in found[fault]


def test_standardising_is_no_remedy_for_counts_and_texts() -> None:
    losses = Losses(None, {"a": 3e6, "b": 80.0})
    faulty = {**HEALTHY, "explained": [-1.0, 0.2], "losses": losses}
    for unscaled in ((), ("a",)):
        found = diagnose_latents(**faulty, unscaled=unscaled)
        assert list(found) == ["mean a", "dominant"]
        assert all(("data.standardise" in told) == (not unscaled) for told in found.values())


def test_one_latent_dimension_is_a_line_by_choice() -> None:
    assert diagnose_latents(**{**HEALTHY, "dimensions": [1.0, 1.0], "latent_dim": 1}) == {}


def test_events_that_share_nothing_and_modalities_with_few_rows() -> None:
    found = diagnose_events(["a", "b"], [400, 14], 0)
    assert list(found) == ["apart", "few b"]
    assert "data.modalities" in found["apart"]
    assert "14 training rows" in found["few b"]
    assert "1 training row," in diagnose_events(["a"], [1], 0)["few a"]


def test_dimensions_and_explained_shares_are_those_of_the_whole_split() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(2, 90, 3, generator=generator, dtype=torch.float64)
    mean[1, :, 1:] = 0.0
    present = torch.ones(90, 2, dtype=torch.bool)
    present[::4, 0] = False
    mean[0, ::4] = torch.nan
    x = torch.randn(90, 5, generator=generator, dtype=torch.float64)
    x[::3, 2] = torch.nan
    metric = LatentHealth(2, 3)
    for part in (slice(0, 40), slice(40, 90)):
        metric.update(mean[:, part], present[part])
        metric.update_decoded(0, 0.5 * x[part], x[part])
        metric.update_decoded(1, torch.zeros_like(x[part]), x[part])
    values = metric.compute()
    size = torch.linalg.eigvalsh(torch.cov(mean[0, present[:, 0]].T))
    assert values["dimensions"][0] == pytest.approx(float(size.sum() ** 2 / (size**2).sum()))
    assert values["dimensions"][1] == pytest.approx(1.0)
    assert values["explained"][0] == pytest.approx(0.75, abs=0.02)
    assert values["explained"][1] == pytest.approx(0.0, abs=0.05)
