"""Early diagnosis of a collapsed categorical posterior, with its likely cause."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from mixvae.contracts import Balance

FLAT_FRACTION = 0.9
POPULATED_FRACTION = 0.5
POPULATED_SHARE = 0.01
# With one softmax the network scales its own logits: a smaller tau is not needed.
MIN_TAU = 0.5
# Below, no network can name a category with confidence.
MIN_LARGEST_PROBABILITY = 0.5


def count_populated(occupancy: ArrayLike, share: float = POPULATED_SHARE) -> int:
    """Count the categories that hold at least one sample and at least a share of an even split.

    The share keeps a stray sample among thousands from populating a category; relative to the
    even split 1/K it asks the same of few and of many categories.

    Args:
        occupancy: Number of samples in each category, shape (K,).
    """
    counts = np.asarray(occupancy)
    least = max(1.0, share * counts.sum() / counts.size)
    return int((counts >= least).sum())


def diagnose_collapse(
    entropy: float,
    populated: int,
    num_categories: int,
    reconstruction: tuple[float, float] | None = None,
    balance: Balance | None = None,
    terms: Mapping[str, float] | None = None,
    youth: str | None = None,
) -> str | None:
    """Describe a collapse of the categorical posterior in one sentence; None if it is healthy.

    Flat: the mean entropy is at least nine tenths of log K, so the categories say nothing of the
    sample. Nearly empty: fewer than half of the categories are populated, or only one.

    Args:
        entropy: Mean entropy of q(c|x), nats.
        populated: Number of populated categories, see `count_populated`.
        num_categories: Number of categories K in use.
        reconstruction: Reconstruction at the first epoch and now, nats; names whether the states
            do the categories' work.
        balance: Settings that act on q(c|x), if known; they make the cause specific.
        terms: Mean of each term of the objective in the last training epoch, unweighted, nats.
        youth: Why the weights are too young to be judged; then no other cause is named.

    Source:
        Ours; K = 120 with too large a tau silently left MMIDAS 11 populated categories.
    """
    limit = math.log(num_categories)
    flat = entropy >= FLAT_FRACTION * limit
    # A single category is a collapse even where it is half of two.
    empty = populated < max(2.0, POPULATED_FRACTION * num_categories)
    if not flat and not empty:
        return None
    reasons = []
    if flat:
        reasons.append(
            f"q(c|x) is nearly flat (mean entropy {entropy:.2f} of at most {limit:.2f} nats)"
        )
    if empty:
        reasons.append(f"only {populated} of {num_categories} categories are populated")
    states_suffice = reconstruction is not None and reconstruction[1] < reconstruction[0]
    if reconstruction is not None and states_suffice:
        first, now = reconstruction
        reasons.append(f"the reconstruction improves all the same ({first:.1f} to {now:.1f} nats)")
    if youth is not None:
        return f"{', and '.join(reasons)}; {youth}"
    cause = _likely_cause(flat, states_suffice)
    if balance is not None:
        terms = terms or {}
        cause = _measured_cause(balance, terms, num_categories, flat and states_suffice) or cause
        cause += f" ({_figures(balance, terms)})"
    return f"{', and '.join(reasons)}; likely cause: {cause}"


def _pulls(balance: Balance, terms: Mapping[str, float]) -> dict[str, float]:
    """The weighted size of each term beside that of one agent's reconstruction, nats."""
    weights = {"reconstruction": 1.0, **balance.weights}
    return {name: abs(weights[name] * terms[name]) for name in weights if name in terms}


def _measured_cause(
    balance: Balance, terms: Mapping[str, float], num_categories: int, states_suffice: bool
) -> str | None:
    """The cause where the figures show one: the cap of tau, the coupling, a free state."""
    pulls = _pulls(balance, terms)
    size = pulls.get("reconstruction")
    if balance.largest_probability is None:
        if balance.tau < MIN_TAU:
            return (
                f"tau too small: with one softmax, {balance.tau:.3g} makes q(c|x) certain before"
                " the categories are learned; tau: auto takes 1"
            )
    elif balance.largest_probability < MIN_LARGEST_PROBABILITY:
        return (
            f"tau too large: at {balance.tau:.3g} no category can have a probability above"
            f" {balance.largest_probability:.2g}; about 1/K = {1 / num_categories:.2g} serves"
        )
    if size is not None and pulls.get("coupling", 0.0) > size:
        return (
            "the coupling outweighs the reconstruction; lower model.coupling_weight (lambda), or"
            " let it grow once the agents have found their categories"
        )
    said = terms.get("kl", 0.0)
    if states_suffice and said > math.log(num_categories):
        return (
            f"the states carry all: their KL is {said:.3g} nats, more than the"
            f" {math.log(num_categories):.3g} that the categories could say; raise model.beta,"
            " lower model.state_dim, or raise model.information_weight"
        )
    if balance.weights.get("information") == 0:
        return (
            "nothing in the objective asks for all categories to be used; give"
            " model.information_weight a value of the reconstruction's size"
        )
    return None


def _figures(balance: Balance, terms: Mapping[str, float]) -> str:
    pulls = _pulls(balance, terms)
    beta, coupling = (balance.weights.get(name, 0.0) for name in ("kl", "coupling"))
    parts = [f"tau {balance.tau:.3g}"]
    for name, text in (
        ("kl", f"beta {beta:.3g} times the state's KL"),
        ("coupling", f"lambda's share {coupling:.3g} times the coupling"),
        ("reconstruction", "reconstruction"),
    ):
        if name in pulls:
            parts.append(f"{text} {pulls[name]:.3g} nats")
    return ", ".join(parts)


def _likely_cause(flat: bool, states_suffice: bool) -> str:
    if flat and states_suffice:
        return "tau too large, or beta or the coupling's weight so small that the state carries all"
    if flat:
        return "tau too large, or the coupling outweighs the reconstruction"
    return "tau too large, or the coupling too strong before the agents found their categories"
