"""Classifiers of images and texts for the coherence: the trunks of their encoders, and a layer."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mixvae.evaluation.probe import Classifier, Labelled
from mixvae.evaluation.tags import Scorer
from mixvae.networks.modality_images import ImageTrunk
from mixvae.networks.modality_texts import TextTrunk

TRUNKS = {"image": ImageTrunk, "tokens": TextTrunk}
BATCH, RATE, EPOCHS, LEAST_STEPS = 128, 3e-3, 3, 300
KEPT = 32  # classifiers of a process that later runs may take


@dataclass(frozen=True)
class TrunkScores:
    """A trained trunk and its last layer, with the centre and spread of its training samples."""

    network: nn.Sequential
    centre: float
    spread: float
    device: torch.device

    def __call__(self, x: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """The outputs of the last layer, (N, num_outputs)."""
        return self._outputs(self.network, x)

    def features(self, x: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """The features before the last layer, (N, F)."""
        return self._outputs(self.network[0], x)

    def _outputs(
        self, layers: nn.Module, x: NDArray[np.floating[Any]]
    ) -> NDArray[np.floating[Any]]:
        given = torch.from_numpy(np.nan_to_num(np.asarray(x, dtype=np.float32)))
        with torch.inference_mode():
            parts = [
                layers((part.to(self.device) - self.centre) / self.spread).cpu()
                for part in given.split(1024)
            ]
        found: NDArray[np.float32] = torch.cat(parts).numpy()
        return found


@dataclass(frozen=True)
class TrunkClassifier:
    """The largest output of a trunk, as a class."""

    scores: TrunkScores
    classes: NDArray[np.int64]

    def __call__(self, x: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
        """The class of each sample, shape (N,)."""
        found: NDArray[np.int64] = self.classes[self.scores(x).argmax(axis=1)]
        return found

    def features(self, x: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """The features before the last layer, (N, F)."""
        return self.scores.features(x)


def fit_trunk(kind: str, data: Labelled, device: torch.device) -> Classifier:
    """Fit a network to classify samples: Adam, 3 epochs or 300 steps if these are more.

    It is deterministic on a CPU: the same data give the same classifier.

    Args:
        kind: `image` or `tokens`.
        data: Samples (N, *shape) and classes of at least two kinds.

    Source:
        mmvmvae (MMVM's code): the encoder's trunk and a linear layer, there Adam at 1e-3 for 10
        epochs. One cycle of the rate (Smith and Topin 2018) is as accurate in 3.
    """
    classes, target = np.unique(data.label, return_inverse=True)
    network = _fitted(kind, data.x, torch.from_numpy(target), len(classes), device)
    return TrunkClassifier(network, classes)


def fit_trunk_tags(
    kind: str, x: NDArray[np.floating[Any]], tags: NDArray[np.floating[Any]], device: torch.device
) -> Scorer:
    """Fit a network to score the tags of samples, as `fit_trunk`; NaN is an unknown tag.

    Args:
        tags: Shape (N, T), 0, 1 or NaN.
    """
    target = torch.from_numpy(np.asarray(tags, dtype=np.float32))
    return _fitted(kind, x, target, tags.shape[1], device)


_kept: dict[tuple[object, ...], TrunkScores] = {}


def _fitted(
    kind: str,
    x: NDArray[np.floating[Any]],
    target: Tensor,
    num_outputs: int,
    device: torch.device,
) -> TrunkScores:
    """Train a network with so many outputs, or take that of an earlier run on the same data.

    The jobs of a sweep in one process differ in the model and share their data.
    """
    samples = torch.from_numpy(np.nan_to_num(np.asarray(x, dtype=np.float32)))
    digests = (sha256(part.contiguous().numpy()).digest() for part in (samples, target))
    key = (kind, samples.shape, num_outputs, device, *digests)
    if key not in _kept:
        if len(_kept) == KEPT:
            _kept.pop(next(iter(_kept)))
        _kept[key] = _train(kind, samples, target, num_outputs, device)
    return _kept[key]


def _train(
    kind: str, samples: Tensor, target: Tensor, num_outputs: int, device: torch.device
) -> TrunkScores:
    centre, spread = float(samples.mean()), max(float(samples.std()), 1e-6)
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), torch.inference_mode(mode=False):
        torch.manual_seed(0)
        trunk = TRUNKS[kind](samples.shape[1:])
        network = nn.Sequential(trunk, nn.Linear(trunk.num_features, num_outputs)).to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=RATE, weight_decay=1e-4)
        steps_an_epoch = -(-len(samples) // BATCH)
        epochs = max(EPOCHS, -(-LEAST_STEPS // steps_an_epoch))
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, epochs * steps_an_epoch)
        for _ in range(epochs):
            for rows in torch.randperm(len(samples)).split(BATCH):
                batch = (samples[rows].to(device) - centre) / spread
                loss = _loss(network(batch), target[rows].to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                cycle.step()
    return TrunkScores(network.eval(), centre, spread, device)


def _loss(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of classes, or of the tags that are known."""
    if not target.is_floating_point():
        return F.cross_entropy(output, target)
    there = ~target.isnan()
    each = F.binary_cross_entropy_with_logits(output, target.nan_to_num(0.0), reduction="none")
    return torch.where(there, each, torch.zeros_like(each)).sum() / there.sum().clamp(min=1)
