"""Which genes make the types and states of synthetic cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FAMILY_SIZE = 3
FAMILY_MARKERS = 10
FAMILY_STRENGTH = 2.0  # log fold change of the genes that sisters share
ACTIVITY_SHARE = 0.14  # of the genes, moved by each activity
RICH_SHARE = 2 / 3  # of the genes, by expression: programmes move these, which counts can show

Array = NDArray[np.float64]
Columns = NDArray[np.int64]


@dataclass(frozen=True)
class CellDesign:
    """Which genes make types and states: K types, G genes, S state dimensions, F activities.

    Expression is in natural log.
    """

    profile: Array  # of each type at state 0, shape (K, G)
    effects: Array  # change by a unit of each state, shape (K, S, G)
    activities: Array  # change by a unit of each activity, shape (F, G)
    family: NDArray[np.int64]  # of each type, shape (K,): sisters have the same number
    markers: tuple[Columns, ...]  # columns of each type's own markers
    proportions: Array  # share of the cells that each type has, shape (K,), sums to 1


@dataclass(frozen=True)
class DesignSizes:
    """Numbers of cells and genes; see `cell_generator.generate_cells`."""

    num_genes: int
    num_types: int
    num_states: int
    num_activities: int
    num_markers: int
    num_programme_genes: int


@dataclass(frozen=True)
class DesignStrengths:
    """How far expression moves, natural log; see `cell_generator.generate_cells`."""

    marker: float
    programme: float
    activity: float
    size_ratio: float


def draw_design(
    random: np.random.Generator, sizes: DesignSizes, strengths: DesignStrengths
) -> CellDesign:
    """Draw which genes are markers, which a state moves, and how large each type is."""
    genes = _draw_genes(random, sizes)
    profile = _draw_profile(random, genes, strengths.marker)
    rich = _richest(genes.free, profile[0])
    effects = np.zeros((sizes.num_types, sizes.num_states, sizes.num_genes))
    for effect in effects.reshape(-1, sizes.num_genes):
        moved = random.choice(rich, sizes.num_programme_genes, replace=False)
        effect[moved] = strengths.programme * _signed(random, len(moved))
    activities = np.zeros((sizes.num_activities, sizes.num_genes))
    for activity in activities:
        moved = random.choice(genes.free, round(ACTIVITY_SHARE * sizes.num_genes), replace=False)
        activity[moved] = strengths.activity * random.choice([-1.0, 1.0], len(moved))
    proportions = strengths.size_ratio ** -np.linspace(0.0, 1.0, sizes.num_types)
    return CellDesign(
        profile=profile,
        effects=effects,
        activities=activities,
        family=genes.family,
        markers=genes.markers,
        proportions=random.permutation(proportions / proportions.sum()),
    )


@dataclass(frozen=True)
class _Genes:
    """Columns by role; `free` ones are not markers, and programmes may move them."""

    families: tuple[Columns, ...]
    markers: tuple[Columns, ...]
    free: Columns
    family: NDArray[np.int64]
    num_genes: int


def _draw_genes(random: np.random.Generator, sizes: DesignSizes) -> _Genes:
    """Give every type and family its own markers."""
    num_genes, num_types = sizes.num_genes, sizes.num_types
    num_families = -(-num_types // FAMILY_SIZE)
    num_marked = num_families * FAMILY_MARKERS + num_types * sizes.num_markers
    num_free = num_genes - num_marked
    needed = max(-(-sizes.num_programme_genes // RICH_SHARE) + 1, round(ACTIVITY_SHARE * num_genes))
    if num_free < needed:
        raise ValueError(
            f"num_genes is {num_genes}, too few for the markers of {num_types} types"
            f" ({num_marked} genes) and a programme ({int(needed)} more);"
            " raise num_genes, or lower num_types, num_markers or num_programme_genes"
        )
    order = random.permutation(num_genes)
    families = np.split(order[: num_families * FAMILY_MARKERS], num_families)
    markers = np.split(order[num_families * FAMILY_MARKERS : num_marked], num_types)
    return _Genes(
        families=tuple(map(np.sort, families)),
        markers=tuple(map(np.sort, markers)),
        free=np.sort(order[num_marked:]),
        family=np.arange(num_types) % num_families,
        num_genes=num_genes,
    )


def _draw_profile(random: np.random.Generator, genes: _Genes, marker_strength: float) -> Array:
    """Log expression of each type: a common profile, raised at its family's and own markers."""
    common = random.normal(0.0, 1.0, genes.num_genes)
    common[np.concatenate([*genes.families, *genes.markers])] -= 0.5  # markers are off elsewhere
    profile = np.tile(common, (len(genes.markers), 1))
    for row, own, family in zip(profile, genes.markers, genes.family, strict=True):
        shared = genes.families[family]
        row[shared] += FAMILY_STRENGTH * random.uniform(0.7, 1.3, len(shared))
        row[own] += marker_strength * random.uniform(0.7, 1.3, len(own))
    return profile


def _richest(columns: Columns, log_expression: Array) -> Columns:
    order = columns[np.argsort(log_expression[columns])]
    return order[len(order) - int(RICH_SHARE * len(order)) :]


def _signed(random: np.random.Generator, size: int) -> Array:
    return random.choice([-1.0, 1.0], size) * random.uniform(0.8, 1.2, size)
