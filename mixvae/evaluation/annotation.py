"""The annotation of each sample: consensus, agreement, entropy, probabilities and state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mixvae.contracts import MixturePosterior
from mixvae.evaluation.consensus import vote


class Annotation(NamedTuple):
    """Categories and states of N samples.

    Attributes:
        category: Most probable category of each agent, shape (A, N), int64.
        consensus: Category that the agents vote for, see `consensus.vote`, shape (N,), int64.
        probability: Mean over agents of its probability, shape (N,).
        agreement: Share of the agents whose own category it is, shape (N,).
        entropy: Mean over agents of the entropy of q(c|x), shape (N,), nats.
        probs: Mean over agents of q(c|x), shape (N, K).
        state: Mean state by one agent, at its own category, shape (N, S).
    """

    category: NDArray[np.int64]
    consensus: NDArray[np.int64]
    probability: NDArray[np.float32]
    agreement: NDArray[np.float32]
    entropy: NDArray[np.float32]
    probs: NDArray[np.float32]
    state: NDArray[np.float32]

    @property
    def latent(self) -> NDArray[np.float32]:
        """Category probabilities and state, shape (N, K + S)."""
        joined: NDArray[np.float32] = np.concatenate([self.probs, self.state], axis=1)
        return joined

    def plane(self, kept: NDArray[np.int64]) -> NDArray[np.float32]:
        """Two coordinates for drawing samples, for any number of state dimensions.

        Each kept category is a direction, evenly spread over the circle. A sample lies in the mean
        of their directions by its probabilities, so uncertain samples lie between; along it, a
        first state of 0 is at 1, and states run from 0.5 to 1.5.

        Args:
            kept: Numbers of the kept categories, at least one.

        Returns:
            Shape (N, 2); each row depends on its sample alone, so batches make no difference.
        """
        angle = 2 * np.pi * np.arange(len(kept)) / len(kept)
        centre = self.probs[:, kept] @ np.stack([np.cos(angle), np.sin(angle)], axis=1)
        along = self.state[:, 0] if self.state.shape[1] > 0 else np.zeros(len(centre))
        place: NDArray[np.float32] = (centre * (1 + 0.5 * np.tanh(0.5 * along))[:, None]).astype(
            np.float32
        )
        return place


def describe(posterior: MixturePosterior, agent: int = 0) -> Annotation:
    """Summarise the posterior of A agents over a batch.

    States are those of one agent: agents order their states differently, so a mean is meaningless.
    """
    probs = posterior.probs.float()
    category, consensus = probs.argmax(dim=-1), vote(probs)
    mean = probs.mean(dim=0)
    # xlogy gives a category of probability 0 its limit, 0 nats.
    entropy = -torch.xlogy(probs, probs).sum(dim=-1).mean(dim=0)
    parts = (
        category,
        consensus,
        mean.gather(1, consensus[:, None])[:, 0],
        (category == consensus).float().mean(dim=0),
        entropy,
        mean,
        posterior.state_mean[agent].float(),
    )
    return Annotation(*(part.cpu().numpy() for part in parts))


def denoised(seen: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float32]:
    """Estimate the places of samples without their noise, from what the model expects of them.

    The place of a sample is normal about the expected one, and the sample about its place with
    variance 1; the estimate is the mean of the place given the sample. A component in which samples
    leave the expected place by noise alone keeps that place; one with further structure keeps it.

    Args:
        seen: Components of samples in standard deviations of noise, shape (N, C).
        expected: Components of their reconstructions, shape (N, C).

    Returns:
        Shape (N, C), in the same unit.

    Source:
        Efron & Morris 1973, the empirical Bayes estimate with the prior's variance of the data.
    """
    left = seen - expected
    share = np.clip(1 - 1 / np.maximum(np.square(left).mean(axis=0), 1), 0, 1)
    place: NDArray[np.float32] = (expected + share * left).astype(np.float32)
    return place


def join(parts: Sequence[Annotation]) -> Annotation:
    """Join the annotations of batches, in their order."""
    return Annotation(
        *(
            np.concatenate(arrays, axis=1 if name == "category" else 0)
            for name, arrays in zip(Annotation._fields, zip(*parts, strict=True), strict=True)
        )
    )
