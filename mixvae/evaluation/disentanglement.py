"""Disentanglement of the generative factors in a code: FactorVAE score, MIG and DCI.

`codes` are numbers, such as state means, shape (N, S). `category`, shape (N,), whole numbers, is
one more code. `factors`, shape (N, F), whole numbers, hold what the samples were made of; those
with a single value are left out. Each score raises ValueError if the shapes differ, a code is not
finite, or no factor varies.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

NUM_BINS = 20  # of each numeric code, equally wide between its extremes, as in the papers' code
NUM_VOTES = 1000
VOTE_SAMPLES = 64
NUM_TREES = 20
LEAF_SAMPLES = 5  # a tree that separates single samples also splits on uninformative codes
MAX_TREE_SAMPLES = 2000
HELD_OUT = 0.25

Codes = NDArray[np.float64]
Values = NDArray[np.int64]


class DCI(NamedTuple):
    """Disentanglement, completeness and informativeness, each in [0, 1].

    Attributes:
        disentanglement: How far each code predicts one factor only, weighted by its importance.
        completeness: How far each factor is predicted by one code only, mean over factors.
        informativeness: Share of held-out samples whose value of a factor is predicted, mean
            over factors.
    """

    disentanglement: float
    completeness: float
    informativeness: float


def factor_vae_score(
    codes: ArrayLike, factors: ArrayLike, category: ArrayLike | None = None, seed: int = 0
) -> float:
    """Accuracy of identifying the fixed factor from the code that varies least.

    Of samples that share the value of one factor, each code's variance is compared to its variance
    over all samples. The code with the smallest ratio votes for the factor; a classifier that names
    for each code the majority factor in one half of the votes is scored on the other half.

    Returns:
        Share of correct votes, in [0, 1]; about 1 / F for uninformative codes.

    Source:
        Kim & Mnih 2018, section 4. Departs: votes that are scored are not those that were fitted,
        and a category's variance is its Gini impurity, as for the relaxed one-hot vector of
        JointVAE (Dupont 2018).
    """
    numbers, values, kinds = _checked(codes, factors, category)
    random = np.random.default_rng(seed)
    spread = np.append(numbers.var(axis=0), [_gini(kinds)] if kinds is not None else [])
    used = spread > 1e-12
    if not used.any():
        return 1 / values.shape[1]
    votes = np.zeros((2, used.sum(), values.shape[1]), dtype=np.int64)
    for number in range(NUM_VOTES):
        factor = random.integers(values.shape[1])
        value = values[random.integers(len(values)), factor]
        rows = random.choice(np.flatnonzero(values[:, factor] == value), VOTE_SAMPLES)
        within = numbers[rows].var(axis=0)
        if kinds is not None:
            within = np.append(within, _gini(kinds[rows]))
        votes[number % 2, np.argmin(within[used] / spread[used]), factor] += 1
    chosen = votes[0].argmax(axis=1)
    return float(votes[1][np.arange(len(chosen)), chosen].sum() / votes[1].sum())


def mutual_information_gap(
    codes: ArrayLike, factors: ArrayLike, category: ArrayLike | None = None
) -> float:
    """Gap in mutual information between the best and second-best code, mean over factors.

    Returns:
        Gap of the mutual informations as a share of the factor's entropy, in [0, 1].

    Source:
        Chen et al. 2018 (beta-TCVAE), eq. 6, estimated by a histogram of the codes as Locatello et
        al. 2019 do; of few samples it is too high by about (bins - 1)(values - 1) / 2N nats, and
        of more than 20 values too low: a perfect code of dSprites' whole grid has .90.
    """
    numbers, values, kinds = _checked(codes, factors, category)
    discrete = [_binned(column) for column in numbers.T]
    if kinds is not None:
        discrete.append(kinds)
    gaps = []
    for factor in values.T:
        informations = sorted(
            (_mutual_information(code, factor) for code in discrete), reverse=True
        )
        best, second = [*informations, 0.0, 0.0][:2]
        gaps.append((best - second) / _mutual_information(factor, factor))
    return float(np.mean(gaps))


def dci(
    codes: ArrayLike, factors: ArrayLike, category: ArrayLike | None = None, seed: int = 0
) -> DCI:
    """DCI: importances of codes in random forests that predict each factor from all codes.

    Args:
        seed: Of the samples held out, of the at most 2,000 used in all, and of the forests.

    Source:
        Eastwood & Williams 2018, section 2, with random forests' importances. Every factor is
        predicted as classes and every split may use every code: a split between a random few would
        also be made on uninformative codes.
    """
    from sklearn.ensemble import RandomForestClassifier  # slow to import

    numbers, values, kinds = _checked(codes, factors, category)
    order = np.random.default_rng(seed).permutation(len(values))[:MAX_TREE_SAMPLES]
    num_held = max(1, round(HELD_OUT * len(order)))
    held, fitted = order[:num_held], order[num_held:]
    if not len(fitted):
        raise ValueError(f"DCI needs at least 2 samples, got {len(values)}")
    columns, owner = _with_indicators(numbers, kinds)
    importance = np.zeros((owner.max(initial=-1) + 1, values.shape[1]))
    right = []
    for number, factor in enumerate(values.T):
        forest = RandomForestClassifier(
            NUM_TREES, min_samples_leaf=LEAF_SAMPLES, max_features=None, random_state=seed
        )
        forest.fit(columns[fitted], factor[fitted])
        np.add.at(importance[:, number], owner, forest.feature_importances_)
        right.append((forest.predict(columns[held]) == factor[held]).mean())
    return DCI(*disentanglement_and_completeness(importance), float(np.mean(right)))


def disentanglement_and_completeness(importance: ArrayLike) -> tuple[float, float]:
    """DCI's disentanglement and completeness from the importance of each code for each factor.

    Args:
        importance: Not negative, shape (C, F).

    Returns:
        Disentanglement, mean over codes weighted by their importance, and completeness, mean over
        factors weighted likewise; both 0 if all importances are 0.

    Source:
        Eastwood & Williams 2018, section 2; weights of the factors as Locatello et al. 2019.
    """
    table = np.asarray(importance, dtype=np.float64)
    if table.sum() == 0:
        return 0.0, 0.0
    by_code, by_factor = _concentration(table), _concentration(table.T)
    weights = table / table.sum()
    return float(weights.sum(axis=1) @ by_code), float(weights.sum(axis=0) @ by_factor)


def _checked(
    codes: ArrayLike, factors: ArrayLike, category: ArrayLike | None
) -> tuple[Codes, Values, Values | None]:
    """The arrays, with factors and categories renumbered from 0 and constant factors removed."""
    numbers, values = np.asarray(codes, dtype=np.float64), np.asarray(factors)
    kinds = None if category is None else np.asarray(category)
    if numbers.ndim != 2 or values.ndim != 2 or len(numbers) != len(values):
        raise ValueError(
            "codes (N, S) and factors (N, F) must have a row for each sample; got shapes"
            f" {numbers.shape} and {values.shape}"
        )
    if kinds is not None and kinds.shape != (len(values),):
        raise ValueError(f"category must have shape ({len(values)},), got {kinds.shape}")
    if not numbers.shape[1] and kinds is None:
        raise ValueError("there is no code to measure: codes have no columns, and no category")
    if not np.isfinite(numbers).all():
        raise ValueError("codes must be finite; some are infinite or NaN")
    numbered = [np.unique(column, return_inverse=True)[1].reshape(-1) for column in values.T]
    varying = [column for column in numbered if len(column) and column.max() > 0]
    if not varying:
        raise ValueError("no factor takes more than one value, so there is nothing to disentangle")
    if kinds is not None:
        kinds = np.unique(kinds, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return numbers, np.stack(varying, axis=1).astype(np.int64), kinds


def _gini(kinds: Values) -> float:
    """Probability that two draws differ."""
    share = np.bincount(kinds) / len(kinds)
    return float(1 - share @ share)


def _binned(column: NDArray[np.float64]) -> Values:
    low, high = column.min(), column.max()
    if high <= low:
        return np.zeros(len(column), dtype=np.int64)
    bins = ((column - low) / (high - low) * NUM_BINS).astype(np.int64)
    return np.minimum(bins, NUM_BINS - 1)


def _mutual_information(a: Values, b: Values) -> float:
    """Mutual information of two discrete variables, nats; of one with itself, its entropy."""
    width = int(b.max()) + 1
    joint = np.bincount(a * width + b, minlength=(int(a.max()) + 1) * width).reshape(-1, width)
    share = joint / joint.sum()
    product = share.sum(axis=1, keepdims=True) * share.sum(axis=0)
    there = share > 0
    return float(np.sum(share[there] * np.log(share[there] / product[there])))


def _with_indicators(numbers: Codes, kinds: Values | None) -> tuple[Codes, NDArray[np.int64]]:
    """Columns for a forest, and the code of each; a category has one column per value."""
    owner = np.arange(numbers.shape[1])
    if kinds is None:
        return numbers, owner
    indicators = np.eye(int(kinds.max()) + 1)[kinds]
    owners: NDArray[Any] = np.append(owner, np.full(indicators.shape[1], numbers.shape[1]))
    return np.hstack([numbers, indicators]), owners


def _concentration(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - entropy of each row as a share of the largest possible; 0 for a row of zeros."""
    totals = table.sum(axis=1, keepdims=True)
    share = np.divide(table, totals, out=np.zeros_like(table), where=totals > 0)
    if table.shape[1] == 1:
        return (totals[:, 0] > 0).astype(np.float64)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    entropy = -(share * logs).sum(axis=1) / np.log(table.shape[1])
    return np.where(totals[:, 0] > 0, 1 - entropy, 0.0)
