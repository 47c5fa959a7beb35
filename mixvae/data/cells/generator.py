"""Cells of known types and known continuous states, to compare a method's findings with.

Every cell has a type and, within it, a state that moves a known set of genes up and down: its
programme. Types come in families of sisters that share markers, as subclasses of neurons or of T
cells do. Activities that cross the types (cell cycle, stress, interferon) move many genes a little,
and make sisters touch in a neighbourhood graph though their own markers tell them apart. Counts
vary by library size, by biological overdispersion and by dropout.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixvae.data.checks import check_count, check_seed

FAMILY_SIZE = 3
FAMILY_MARKERS = 10
FAMILY_STRENGTH = 2.0  # log fold change of the genes that sisters share
ACTIVITY_SHARE = 0.14  # of the genes, moved by each activity
SIZES = (
    *("num_genes", "num_types", "num_states"),
    *("num_activities", "num_markers", "num_programme_genes"),
)
LEAST = {
    **dict.fromkeys(("marker_strength", "programme_strength", "activity_strength"), 0.0),
    **{"depth_spread": 0.0, "size_ratio": 1.0, "depth": 1e-3, "dispersion": 1e-3},
}
RICH_SHARE = 2 / 3  # of the genes, by expression: programmes move these, which counts can show
BLOCK_ENTRIES = 5_000_000  # expected counts drawn at a time: memory does not grow with the cells

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
class CellRecipe:
    """How cells are drawn; the defaults are hard for clustering on a neighbourhood graph.

    At the defaults a linear classifier that is shown the types reaches a balanced accuracy of .98,
    while Leiden on 20 principal components stays between .75 and .9 ARI at its best resolution:
    `python -m experiments.cells_hardness` prints both, over seeds.

    Attributes:
        num_states: Number of state dimensions S of each type.
        marker_strength: Log fold change of a type's own markers.
        programme_strength: Change of log expression by a unit of state, up or down.
        activity_strength: Change of log expression by a unit of an activity, up or down.
        num_activities: Number of activities F that cross the types.
        dropout: Largest probability that a count is lost; it falls with the expected count.
        depth: Expected counts of a gene, averaged over genes and cells.
        depth_spread: Standard deviation of the log library size.
        dispersion: Inverse of the negative binomial's excess variance: var = mean + mean^2 / it.
        size_ratio: Size of the largest type over that of the smallest; geometric in between.
        num_markers: Markers of each type that it shares with no other.
        num_programme_genes: Genes that each state dimension of a type moves.
    """

    num_cells: int = 5000
    num_genes: int = 500
    num_types: int = 10
    num_states: int = 1
    seed: int = 0
    marker_strength: float = 1.4
    programme_strength: float = 1.6
    activity_strength: float = 0.7
    num_activities: int = 4
    dropout: float = 0.3
    depth: float = 20.0
    depth_spread: float = 0.6
    dispersion: float = 5.0
    size_ratio: float = 5.0
    num_markers: int = 12
    num_programme_genes: int = 25

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for name in ("num_cells", *SIZES):
            check_count(name, getattr(self, name), least=0 if name == "num_activities" else 1)
        for name, least in LEAST.items():
            value = getattr(self, name)
            if isinstance(value, str) or not least <= value < np.inf:
                raise ValueError(f"{name} is {value!r}; it must be a number, {least:g} or more")
        if isinstance(self.dropout, str) or not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout is {self.dropout!r}; it must be at least 0 and less than 1")


def draw_design(random: np.random.Generator, recipe: CellRecipe) -> CellDesign:
    """Draw which genes are markers, which a state moves, and how large each type is."""
    genes = _draw_genes(random, recipe)
    profile = _draw_profile(random, genes, recipe.marker_strength)
    order = genes.free[np.argsort(profile[0, genes.free])]
    rich = order[len(order) - int(RICH_SHARE * len(order)) :]
    effects = np.zeros((recipe.num_types, recipe.num_states, recipe.num_genes))
    for effect in effects.reshape(-1, recipe.num_genes):
        moved = random.choice(rich, recipe.num_programme_genes, replace=False)
        sign = random.choice([-1.0, 1.0], len(moved))
        effect[moved] = recipe.programme_strength * (sign * random.uniform(0.8, 1.2, len(moved)))
    activities = np.zeros((recipe.num_activities, recipe.num_genes))
    for activity in activities:
        moved = random.choice(genes.free, round(ACTIVITY_SHARE * recipe.num_genes), replace=False)
        activity[moved] = recipe.activity_strength * random.choice([-1.0, 1.0], len(moved))
    proportions = recipe.size_ratio ** -np.linspace(0.0, 1.0, recipe.num_types)
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


def _draw_genes(random: np.random.Generator, recipe: CellRecipe) -> _Genes:
    """Give every type and family its own markers."""
    num_genes, num_types = recipe.num_genes, recipe.num_types
    num_families = -(-num_types // FAMILY_SIZE)
    num_marked = num_families * FAMILY_MARKERS + num_types * recipe.num_markers
    num_free = num_genes - num_marked
    needed = max(
        -(-recipe.num_programme_genes // RICH_SHARE) + 1, round(ACTIVITY_SHARE * num_genes)
    )
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


@dataclass(frozen=True)
class SyntheticCells:
    """N cells with everything that is known of them."""

    counts: sparse.csr_matrix  # shape (N, G), float32 of whole numbers
    type: NDArray[np.int64]  # shape (N,), in 0..K-1
    state: Array  # within the type, shape (N, S), uniform, mean 0, variance 1
    activity: Array  # shape (N, F), standard normal, independent of the type
    library: Array  # expected counts before dropout, shape (N,)
    design: CellDesign = field(repr=False)

    @property
    def gene_names(self) -> tuple[str, ...]:
        """Names of the genes, length G."""
        return tuple(f"gene{number:04d}" for number in range(self.counts.shape[1]))

    @property
    def cell_names(self) -> tuple[str, ...]:
        """Names of the cells, length N."""
        return tuple(f"cell{number:06d}" for number in range(self.counts.shape[0]))

    @property
    def type_names(self) -> tuple[str, ...]:
        """Names of the types, length K."""
        return tuple(f"type{number:03d}" for number in range(len(self.design.profile)))

    @property
    def programme_genes(self) -> tuple[Columns, ...]:
        """For each type the columns that its states move, sorted."""
        return tuple(np.flatnonzero(np.any(effect != 0, axis=0)) for effect in self.design.effects)


def generate_cells(*sizes: int, **settings: Any) -> SyntheticCells:
    """Draw cells of a `CellRecipe`, in random order; a function of its attributes."""
    recipe = CellRecipe(*sizes, **settings)
    random = np.random.default_rng(recipe.seed)
    return _draw_cells(random, draw_design(random, recipe), recipe)


def _draw_cells(
    random: np.random.Generator, design: CellDesign, recipe: CellRecipe
) -> SyntheticCells:
    num_cells, num_genes = recipe.num_cells, recipe.num_genes
    num_types, num_states, _ = design.effects.shape
    kind = random.permutation(np.repeat(np.arange(num_types), _sizes(design, num_cells)))
    state = random.uniform(-np.sqrt(3.0), np.sqrt(3.0), (num_cells, num_states))
    activity = random.normal(size=(num_cells, len(design.activities)))
    spread = recipe.depth_spread
    library = recipe.depth * num_genes * np.exp(random.normal(-(spread**2) / 2, spread, num_cells))
    blocks = []
    for rows in np.array_split(np.arange(num_cells), -(-num_cells * num_genes // BLOCK_ENTRIES)):
        log_rate = design.profile[kind[rows]] + activity[rows] @ design.activities
        log_rate += np.einsum("ns,nsg->ng", state[rows], design.effects[kind[rows]])
        blocks.append(_draw_counts(random, log_rate, library[rows], recipe))
    counts = sparse.csr_matrix(sparse.vstack(blocks, format="csr"))
    return SyntheticCells(counts, kind.astype(np.int64), state, activity, library, design)


def _sizes(design: CellDesign, num_cells: int) -> NDArray[np.int64]:
    """Cells of each type, exact: the largest remainders are rounded up."""
    exact = design.proportions * num_cells
    sizes = np.floor(exact).astype(np.int64)
    sizes[np.argsort(sizes - exact)[: num_cells - sizes.sum()]] += 1
    if sizes.min() < 1:
        raise ValueError(
            f"num_cells is {num_cells}, too few for {len(sizes)} types:"
            " the smallest has no cell; raise num_cells or lower num_types or size_ratio"
        )
    return sizes


def _draw_counts(
    random: np.random.Generator, log_rate: Array, library: Array, recipe: CellRecipe
) -> sparse.csr_matrix:
    """Negative binomial counts of one block of cells, some of them lost."""
    mean = np.exp(log_rate - log_rate.max(axis=1, keepdims=True))
    mean *= (library / mean.sum(axis=1))[:, None]
    counts = random.poisson(
        mean * random.gamma(recipe.dispersion, 1 / recipe.dispersion, mean.shape)
    )
    if recipe.dropout > 0.0:
        lost = recipe.dropout / (1.0 + 4.0 * mean / recipe.depth)
        counts[random.random(mean.shape) < lost] = 0
    return sparse.csr_matrix(counts.astype(np.float32))
