"""Pruning by consensus, and the model order: the number of categories that the data support."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

LEAST_CATEGORIES = 2


class Round(NamedTuple):
    """Measurements before a pruning, or after the last one.

    Attributes:
        number: Number of earlier prunings, from 0.
        epoch: Epochs trained.
        num_categories: Categories kept, K.
        consensus: Mean consensus over the kept categories, see `consensus.category_consensus`.
        min_consensus: That of the least consensual one.
        populated_categories: Populated ones of the kept, see `health.count_populated`.
        reconstruction: Mean of -log p(x|s, c) over samples and agents, nats.
        entropy: Mean entropy of q(c|x) over samples and agents, nats.
        pruned: Numbers of the categories masked after it; empty for the last round.
    """

    number: int
    epoch: int
    num_categories: int
    consensus: float
    min_consensus: float
    populated_categories: int
    reconstruction: float
    entropy: float
    pruned: tuple[int, ...] = ()


class ModelOrder(NamedTuple):
    """The selected round.

    Attributes:
        threshold_met: Whether its mean consensus reaches the threshold.
    """

    selected: Round
    threshold_met: bool


def check_num_per_round(num_per_round: float) -> None:
    """Raise ValueError for values that `num_to_prune` does not take."""
    if num_per_round <= 0 or (num_per_round >= 1 and num_per_round != int(num_per_round)):
        raise ValueError(
            "num_per_round must be a number of categories, 1 or more, or a share of the kept ones"
            f" between 0 and 1; got {num_per_round}"
        )


def num_to_prune(num_kept: int, num_per_round: float) -> int:
    """Number of categories that a round may prune, keeping at least two.

    Args:
        num_kept: Categories kept so far.
        num_per_round: A number, or a share of the kept ones between 0 and 1, rounded, at least one.
    """
    wanted = num_per_round if num_per_round >= 1 else max(1, round(num_per_round * num_kept))
    return max(0, min(int(wanted), num_kept - LEAST_CATEGORIES))


def fewest_categories(num_categories: int, num_per_round: float, max_rounds: int) -> int:
    """Smallest number of categories that pruning can leave."""
    for _ in range(max_rounds):
        num_categories -= num_to_prune(num_categories, num_per_round)
    return num_categories


def choose_pruned(
    consensus: ArrayLike,
    occupancy: ArrayLike,
    kept: ArrayLike,
    min_consensus: float,
    num_per_round: float,
) -> tuple[int, ...]:
    """Choose the categories to prune: the least consensual ones below `min_consensus`.

    Args:
        consensus: Consensus of each category, shape (K,); 0 where no agent uses it.
        occupancy: Samples in each category, over agents, shape (K,): the fewest first of equals.
        kept: Whether each category is still kept, shape (K,), bool.

    Returns:
        Their numbers in the order of choice; none where all reach `min_consensus`.

    Source:
        Ours after cpl-mixVAE (Marghi et al.), which prunes the least consensual one.
    """
    values, samples, keep = np.asarray(consensus), np.asarray(occupancy), np.asarray(kept)
    limit = num_to_prune(int(keep.sum()), num_per_round)
    order = np.lexsort((np.arange(len(values)), samples, values))
    candidates = [int(k) for k in order if keep[k] and values[k] < min_consensus]
    return tuple(candidates[:limit])


def select_order(rounds: Sequence[Round], threshold: float) -> ModelOrder:
    """Select the largest K whose mean consensus reaches a threshold.

    If none does, the round of the largest mean consensus is selected and marked as not meeting
    the threshold.

    Source:
        MMIDAS (Marghi et al. 2024), where the threshold is 0.95.
    """
    meeting = [one for one in rounds if one.consensus >= threshold]
    if meeting:
        return ModelOrder(max(meeting, key=lambda one: one.num_categories), True)
    return ModelOrder(max(rounds, key=lambda one: one.consensus), False)
