"""Consensus: how far agents assign the same samples to the same categories."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor


def vote(probs: Tensor) -> Tensor:
    """Let the agents vote: the category with the largest mean log-probability over agents.

    By the mean of logs any agent can rule a category out; probabilities that underflowed
    to 0 count as the smallest positive number of their type.

    Args:
        probs: q(c|x) of each agent, shape (A, B, K).

    Returns:
        Category of each sample, shape (B,), int64; the first of equals.
    """
    return probs.clamp_min(torch.finfo(probs.dtype).tiny).log().mean(dim=0).argmax(dim=-1)


def agreement(probs: Tensor, category: Tensor) -> Tensor:
    """Mean over agents of the probability of a category of each sample.

    Args:
        probs: q(c|x) of each agent, shape (A, B, K).
        category: Such as the one voted for, shape (B,), int64.

    Returns:
        Shape (B,), in [0, 1].
    """
    chosen = category.view(1, -1, 1).expand(len(probs), -1, 1)
    return probs.gather(-1, chosen).squeeze(-1).mean(dim=0)


def consensus_matrix(joint: ArrayLike) -> NDArray[np.float64]:
    """Joint assignments of two agents, each entry over the larger of its row and column sums.

    Args:
        joint: Counts of samples in category i of agent a and category j of agent b, shape (K, K).

    Returns:
        Values in [0, 1], shape (K, K); 0 for a pair of categories that both are empty.

    Source:
        Marghi et al. (cpl-mixVAE), as the authors' code MMIDAS measures it.
    """
    counts = np.asarray(joint, dtype=np.float64)
    assert counts.ndim == 2
    assert counts.shape[0] == counts.shape[1]
    larger = np.maximum(counts.sum(axis=1)[:, None], counts.sum(axis=0)[None, :])
    shares: NDArray[np.float64] = np.divide(
        counts, larger, out=np.zeros_like(counts), where=larger > 0
    )
    return shares


def mean_consensus_matrix(joint: ArrayLike) -> NDArray[np.float64]:
    """Mean over the pairs of agents a < b of their `consensus_matrix`, in [0, 1], shape (K, K).

    Args:
        joint: Counts of joint assignments of every two agents, shape (A, A, K, K), A at least 2.
    """
    mean: NDArray[np.float64] = np.mean(_pairs(joint), axis=0)
    return mean


def category_consensus(joint: ArrayLike, quantile: float | None = None) -> NDArray[np.float64]:
    """Consensus of each category: the diagonal of the consensus matrix, over the pairs of agents.

    The consensus of a category that no agent uses is 0, not undefined. So a collapse does not look
    like agreement, and pruning takes empty categories first.

    Args:
        joint: Counts of joint assignments of every two agents, shape (A, A, K, K).
        quantile: None takes the mean over the pairs; a share in [0, 1] takes this quantile, which
            few agents cannot lower where it is high: that of the majority.

    Returns:
        Values in [0, 1], shape (K,).
    """
    if quantile is None:
        return np.diagonal(mean_consensus_matrix(joint)).copy()
    diagonals = [np.diagonal(matrix) for matrix in _pairs(joint)]
    return np.asarray(np.quantile(diagonals, quantile, axis=0), dtype=np.float64)


def _pairs(joint: ArrayLike) -> list[NDArray[np.float64]]:
    """The consensus matrix of each pair of agents."""
    counts = np.asarray(joint)
    if len(counts) < 2:
        raise ValueError(f"consensus needs at least two agents; got {len(counts)}")
    return [consensus_matrix(counts[a, b]) for a, b in combinations(range(len(counts)), 2)]
