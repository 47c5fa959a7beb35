"""Sets of genes, such as pathways: read from a file, scored by the change of their genes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

GeneSets = dict[str, tuple[str, ...]]


class SetScore(NamedTuple):
    """Change of the genes of one set, compared with all others.

    Attributes:
        inside: Mean size of the change of its genes, in the unit of the data.
        outside: Mean size of the change of the other genes.
        z: Rank-sum z score of the sizes; above 0 where its genes change more than the others.
            The score ignores that genes of a pathway vary together: use it to rank
            sets, not as a test.
    """

    name: str
    num_genes: int
    inside: float
    outside: float
    z: float


def read_gene_sets(path: Path) -> GeneSets:
    """Read gene sets from a GMT file, or from a TOML file of arrays.

    GMT: one set a line, `name<TAB>description<TAB>gene<TAB>gene...`. TOML (Python 3.11 and later):
    `name = ["gene", "gene"]`, at the top level. A gene named twice in a set counts once. An invalid
    file raises ValueError, naming the line or the set.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of gene sets {path}")
    readers = {".gmt": _read_gmt, ".toml": _read_toml}
    if path.suffix.lower() not in readers:
        raise ValueError(f"gene sets {path} must be a .gmt or a .toml file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"gene sets {path} are no text in UTF-8: {error.reason}") from error
    sets = readers[path.suffix.lower()](text, path)
    if not sets:
        raise ValueError(f"gene sets {path}: the file holds no set")
    return sets


def _read_gmt(text: str, path: Path) -> GeneSets:
    sets: GeneSets = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, *rest = (field.strip() for field in line.split("\t"))
        genes = tuple(dict.fromkeys(gene for gene in rest[1:] if gene))
        if not name or not genes:
            raise ValueError(
                f"gene sets {path}, line {number}: a line is a name, a description and at least"
                f" one gene, separated by tabs; got {line[:60]!r}"
            )
        if name in sets:
            raise ValueError(f"gene sets {path}, line {number}: the set {name!r} is there twice")
        sets[name] = genes
    return sets


def _read_toml(text: str, path: Path) -> GeneSets:
    if sys.version_info < (3, 11):
        raise ValueError(f"gene sets {path}: TOML needs Python 3.11 or later; use a .gmt file")
    import tomllib

    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Python's message ends in "(at line 3, column 7)".
        raise ValueError(f"gene sets {path} are no TOML: {error}") from error
    sets: GeneSets = {}
    for name, genes in content.items():
        if not isinstance(genes, list) or not all(isinstance(g, str) and g for g in genes):
            raise ValueError(f'gene sets {path}: {name!r} must be an array of genes, ["A", "B"]')
        if not genes:
            raise ValueError(f"gene sets {path}: the set {name!r} holds no gene")
        sets[name] = tuple(dict.fromkeys(genes))
    return sets


def find_members(sets: Mapping[str, Sequence[str]], genes: Sequence[str]) -> NDArray[np.bool_]:
    """Membership of D genes in G sets, shape (G, D)."""
    names = np.asarray(genes, dtype=object)
    rows = [np.isin(names, np.asarray(members, dtype=object)) for members in sets.values()]
    return np.stack(rows) if rows else np.zeros((0, len(names)), dtype=bool)


def score_sets(
    change: NDArray[np.floating], members: NDArray[np.bool_], names: Sequence[str]
) -> list[SetScore]:
    """Score each set by the changes of its genes against those of all others.

    Args:
        change: Change of each gene, shape (D,); its sign does not count.
        members: Which genes are in which set, shape (G, D).
        names: Names of the sets, length G.

    Returns:
        A score for each set that holds some genes of the data but not all, the largest z first.

    Source:
        The rank-sum statistic of Wilcoxon 1945, normal approximation with ties corrected, without
        a continuity correction.
    """
    size = np.abs(np.asarray(change, dtype=np.float64))
    ranks = rankdata(size)
    total = len(size)
    scores = []
    for name, inside in zip(names, members, strict=True):
        count = int(inside.sum())
        if not 0 < count < total:
            continue
        # The variance of a mean of `count` ranks drawn without replacement; ties are in the ranks.
        spread = np.sqrt(ranks.var(ddof=1) / count * (1 - count / total))
        centred = ranks[inside].mean() - ranks.mean()
        scores.append(
            SetScore(
                name,
                count,
                float(size[inside].mean()),
                float(size[~inside].mean()),
                float(centred / spread) if spread > 0 else 0.0,
            )
        )
    return sorted(scores, key=lambda score: -score.z)
