"""Several labels an event: ranked by held-out scores, unknown ones left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mixvae.evaluation.latents import LatentTable, Samples
from mixvae.evaluation.probe import Labelled
from mixvae.evaluation.representation import SplitInference
from mixvae.evaluation.tags import fit_logistic_tags, fit_tag_judges, measure_tags
from mixvae.evaluation.trunk_classifier import fit_trunk, fit_trunk_tags

NUM = 200
RANDOM = np.random.default_rng(0)
LATENT = RANDOM.normal(size=(NUM, 2)).astype(np.float32)
TAGS = np.stack([LATENT[:, 0] > 0, LATENT[:, 1] > 0, np.ones(NUM)], axis=1).astype(np.float32)
TAGS[::7, 0] = np.nan


def split(rows: np.ndarray) -> SplitInference:
    """Two modalities: the first knows both tags, the second only noise."""
    noise = RANDOM.normal(size=(len(rows), 2)).astype(np.float32)
    mean = np.stack([LATENT[rows], noise])
    label = np.full(len(rows), -1)
    table = LatentTable(
        np.arange(len(rows)), label, np.stack([rows, rows], 1), mean, np.zeros_like(mean)
    )
    return SplitInference(table, [Samples(rows, label, LATENT[rows]), Samples(rows, label, noise)])


def test_tags_are_measured_where_they_vary_and_are_known() -> None:
    judges = fit_tag_judges(split(np.arange(150)), TAGS, lambda m, x, t: fit_logistic_tags(x, t))
    held_out = split(np.arange(150, NUM))
    values = measure_tags(judges, held_out, TAGS, ["a", "b"], lambda z, n: z)
    assert values["probe_auroc/a"] > 0.97
    assert values["probe_ap/a"] > 0.97
    assert abs(values["probe_auroc/b"] - 0.5) < 0.25
    assert values["classifier_auroc/a"] > 0.97
    assert values["self_coherence_auroc/a"] > 0.97
    assert values["probe_ap"] == pytest.approx((values["probe_ap/a"] + values["probe_ap/b"]) / 2)
    assert {"coherence_ap/a_to_b", "coherence_auroc/b_to_a", "coherence_ap"} <= set(values)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["image", "tokens"])
def test_trunks_classify_what_no_single_feature_tells(kind: str) -> None:
    label = np.arange(160) % 2
    if kind == "image":  # a bright bar, upright or lying, anywhere
        x = np.zeros((160, 1, 8, 8), dtype=np.float32)
        for n in range(160):
            place = RANDOM.integers(8)
            x[n, 0, place] = 1 - label[n]
            x[n, 0, :, place] += label[n]
    else:  # the token 1 behind a 0, or before it, anywhere
        tokens = RANDOM.integers(2, 5, (160, 8))
        for n in range(160):
            place = RANDOM.integers(7)
            tokens[n, place : place + 2] = [0, 1] if label[n] else [1, 0]
        x = np.eye(5, dtype=np.float32)[tokens]
    classify = fit_trunk(kind, Labelled(x[:120], label[:120] + 3), torch.device("cpu"))
    assert (classify(x[120:]) == label[120:] + 3).mean() > 0.9
    tags = np.stack([label, 1 - label], axis=1).astype(np.float32)
    tags[:9] = np.nan
    scores = fit_trunk_tags(kind, x[:120], tags[:120], torch.device("cpu"))(x[120:])
    assert scores.shape == (40, 2)
    assert ((scores[:, 0] > scores[:, 1]) == (label[120:] > 0)).mean() > 0.9
