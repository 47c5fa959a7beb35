"""Traversal of a category's state: the state is moved, decoded, and features ranked by change.

Agents order their states independently: dimension 0 of one agent may be dimension 1 of
another, or its negative. So changes are compared between agents over all dimensions together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Decode = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""All agents' decoders: categories (A, B, K) and states (A, B, S) into data, shape (A, B, D)."""


class StateTraversal(NamedTuple):
    """Changes of the decoded features as the state moves, for J categories.

    Attributes:
        category: Numbers of the categories, shape (J,), int64.
        num_samples: Samples of each agent in them, shape (A, J), int64.
        low: Where each state dimension starts, shape (A, J, S).
        high: Where it ends, shape (A, J, S).
        change: Largest minus smallest decoded value on the path, in the unit of the data, negative
            if the feature ends lower than it starts, shape (A, J, S, D); 0 where an agent has
            too few samples.
        known: Whether an agent has enough samples in a category, shape (A, J), bool.
    """

    category: NDArray[np.int64]
    num_samples: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    change: NDArray[np.float32]
    known: NDArray[np.bool_]

    @property
    def total(self) -> NDArray[np.float32]:
        """Root of the sum of squared changes over the state dimensions, shape (A, J, D)."""
        length: NDArray[np.float32] = np.sqrt(np.square(self.change).sum(axis=2))
        return length


def traverse_states(
    decode: Decode,
    category: NDArray[np.int64],
    state_mean: NDArray[np.float32],
    categories: Sequence[int],
    num_categories: int,
    *,
    num_steps: int = 9,
    percentiles: tuple[float, float] = (5.0, 95.0),
    min_samples: int = 10,
) -> StateTraversal:
    """Move each state dimension over its range in a category, all else fixed, and decode.

    The category is one-hot, the other dimensions stay at their mean in the category. Range and
    mean are those of the samples that the agent itself assigns to it: its other states belong to
    another category.

    Args:
        category: Most probable category of each agent, shape (A, N).
        state_mean: Mean state at that category, shape (A, N, S).
        num_steps: Values of the state on the path, at least 2.
        min_samples: Smallest number of samples for a meaningful range.
    """
    num_agents, _, state_dim = state_mean.shape
    if num_steps < 2:
        raise ValueError(f"num_steps must be 2 or more, got {num_steps}")
    if state_dim == 0:
        raise ValueError("no state to traverse: the model has state_dim 0")
    chosen = np.asarray(categories, dtype=np.int64)
    num_samples = (category[:, :, None] == chosen).sum(axis=1)
    shape = (num_agents, len(chosen), state_dim)
    centre, low, high = np.zeros((3, *shape))
    known = num_samples >= max(min_samples, 1)
    for agent, j in zip(*np.nonzero(known), strict=True):
        states = state_mean[agent, category[agent] == chosen[j]]
        centre[agent, j] = states.mean(axis=0)
        low[agent, j], high[agent, j] = np.percentile(states, percentiles, axis=0)
    changes = [
        _changes(decode, one_hot, centre[:, j], low[:, j], high[:, j], num_steps)
        for j, one_hot in enumerate(np.eye(num_categories, dtype=np.float32)[chosen])
    ]
    change = np.stack(changes, axis=1) if changes else np.zeros((*shape, 0), dtype=np.float32)
    return StateTraversal(
        chosen, num_samples, low, high, np.where(known[..., None, None], change, 0), known
    )


def _changes(
    decode: Decode,
    one_hot: NDArray[np.float32],
    centre: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    num_steps: int,
) -> NDArray[np.float32]:
    """Changes in one category, shape (A, S, D), from centres and ends of shape (A, S)."""
    num_agents, state_dim = centre.shape
    states = np.tile(centre[:, None, None], (1, state_dim, num_steps, 1))
    for s in range(state_dim):
        states[:, s, :, s] = np.linspace(low[:, s], high[:, s], num_steps, axis=-1)
    flat = states.reshape(num_agents, -1, state_dim).astype(np.float32)
    decoded = decode(np.broadcast_to(one_hot, (*flat.shape[:2], len(one_hot))), flat)
    path = decoded.reshape(num_agents, state_dim, num_steps, -1)
    span = path.max(axis=2) - path.min(axis=2)
    change: NDArray[np.float32] = np.where(path[:, :, -1] < path[:, :, 0], -span, span)
    return change


def rank_features(change: NDArray[np.floating]) -> NDArray[np.int64]:
    """Order features by the size of their change (..., D), the largest first.

    Returns:
        Indices of features, shape (..., D); of equals the first comes first.
    """
    order: NDArray[np.int64] = np.argsort(-np.abs(change), axis=-1, kind="stable")
    return order


def top_share(traversal: StateTraversal, num_top: int, agent: int = 0) -> NDArray[np.float64]:
    """Share of the other agents that rank a feature among their `num_top`, in each category.

    Returns:
        Values in [0, 1], shape (J, D); NaN in a category that no other agent knows.
    """
    num_agents, num_categories, _, num_features = traversal.change.shape
    if num_features == 0:
        return np.zeros((num_categories, 0))
    first = rank_features(traversal.total)[..., :num_top]
    is_first = np.zeros((num_agents, num_categories, num_features))
    np.put_along_axis(is_first, first, 1.0, axis=-1)
    others = traversal.known.copy()
    others[agent] = False
    count = others.sum(axis=0)[:, None].astype(np.float64)
    hits = (is_first * others[..., None]).sum(axis=0)
    share: NDArray[np.float64] = np.divide(
        hits, count, out=np.full(hits.shape, np.nan), where=count > 0
    )
    return share


def overlap_at(traversal: StateTraversal, num_top: int, agent: int = 0) -> NDArray[np.float64]:
    """Overlap of an agent's top features with those of the other agents, by category.

    Its chance level is `num_top` over the number of features.

    Returns:
        Mean over the other agents, in [0, 1], shape (J,); NaN where there is none.
    """
    first = rank_features(traversal.total[agent])[:, :num_top]
    if first.size == 0:
        return np.full(len(first), np.nan)
    shares = np.take_along_axis(top_share(traversal, num_top, agent), first, axis=-1)
    mean: NDArray[np.float64] = shares.mean(axis=-1)
    return mean
