"""The agents' agreement as a confidence: accuracy of the samples that they agree on most."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixvae.contracts import Batch, MixturePosterior
from mixvae.evaluation.clustering import match_classes
from mixvae.evaluation.collecting import Collector
from mixvae.evaluation.consensus import agreement, vote


def accuracy_at_coverage(
    confidence: NDArray[np.floating[Any]], correct: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Accuracy of the n most confident samples, for n = 1..N.

    Samples of equal confidence are taken in a random order: theirs is the expected accuracy.

    Args:
        confidence: Confidence of each sample, shape (N,), N at least 1.
        correct: Whether its category is right, shape (N,).

    Returns:
        Accuracies, shape (N,); the last one is that of all samples. 1 minus their mean is the area
        under the risk-coverage curve.

    Source:
        Geifman and El-Yaniv 2017, Selective classification for deep neural networks.
    """
    _, group = np.unique(-confidence, return_inverse=True)  # the most confident first
    rate = np.bincount(group, weights=correct) / np.bincount(group)
    hits: NDArray[np.float64] = rate[np.sort(group)].cumsum()
    return hits / np.arange(1, len(hits) + 1)


def is_correct(
    category: NDArray[np.int64], label: NDArray[np.int64], num_categories: int, num_classes: int
) -> NDArray[np.bool_]:
    """Whether each category is matched to the sample's class, see `match_classes`, shape (N,)."""
    table = np.zeros((num_categories, num_classes), dtype=np.int64)
    np.add.at(table, (category, label), 1)
    return np.asarray(match_classes(table)[category] == label)


class RiskCoverage(Collector):
    """Area under the risk-coverage curve of the vote; grows by four numbers a sample.

    The confidence is the mean over agents of the probability of the category voted for. Labels say
    only whether a sample is right. A sample that a rank repeats counts once.
    """

    columns = ("index", "label", "category", "confidence")

    def __init__(self, num_categories: int, num_classes: int) -> None:
        super().__init__()
        self.num_categories, self.num_classes = num_categories, num_classes

    def update(self, posterior: MixturePosterior, batch: Batch) -> None:
        """Add the samples of a batch that have a label."""
        known = batch.label >= 0
        probs = posterior.probs.float()[:, known]
        category = vote(probs)
        confidence = agreement(probs, category)
        self.add(
            index=batch.index[known],
            label=batch.label[known],
            category=category,
            confidence=confidence,
        )

    def compute(self) -> dict[str, Tensor]:
        """Compute `aurc`, in [0, 1], 0 the best; nothing without a labelled sample."""
        found = self.gathered()
        if not found or not len(found["label"]):
            return {}
        _, label, category, confidence = found.values()
        correct = is_correct(category, label, self.num_categories, self.num_classes)
        area = 1 - accuracy_at_coverage(confidence, correct).mean()
        return {"aurc": torch.tensor(area, dtype=torch.float64, device=self.device)}
