"""Genes by name: lists of them, alignment of one file's to another's, and which of them vary."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixvae.data.cells.expression import Matrix, library_sizes
from mixvae.data.checks import check_count
from mixvae.data.files.anndata_files import require_anndata, require_scanpy
from mixvae.data.files.gene_names import without_versions
from mixvae.messages import inform, warn
from mixvae.spacing import spaced

ALL = "all"
MAX_MISSING = 0.2
NUM_SHOWN = 10
REMEDIES = {
    "gene": "; make them unique first, as adata.var_names_make_unique() does, or name the genes by"
    " a column of var: data.gene_names=COLUMN",
    "raw gene": ", which adata.var_names_make_unique() does not reach; make them unique by"
    " adata.raw.var.index = anndata.utils.make_index_unique(adata.raw.var_names), or use another"
    " matrix: data.layer=X",
    "file": "; name each once in data.path",
    "cell": "; make them unique first, as adata.obs_names_make_unique() does",
}
WHOLE = 0.99  # share of the counts from which on chosen genes are as good as all
ROWS = 4096  # rows looked at a time
FEW = 10  # genes, of which one may well have most of the expression


def check_unique(names: Sequence[str], what: str) -> None:
    """Refuse repeated names of genes, cells or `what` else; the `ValueError` names them."""
    if len(set(names)) == len(names):  # much faster than to count a million
        return
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        message = f"{len(twice)} {what} names stand more than once: {shown(twice)}"
        raise ValueError(message + REMEDIES.get(what, ""))


def read_gene_list(path: Path) -> tuple[str, ...]:
    """Read a text file of genes, one a line, without versions; empty lines and # are none."""
    if not path.is_file():
        raise FileNotFoundError(
            f"no gene list {path}, nor such a column of var; a list has one gene name a line"
        )
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file; one gene name a line is expected") from error
    names = without_versions([line for line in lines if line and not line.startswith("#")])
    if not names:
        raise ValueError(f"{path} names no gene; one gene name a line is expected")
    if any("," in name or "\t" in name for name in names):
        raise ValueError(f"{path} is a table, {names[0]!r}; one gene name a line is expected")
    check_unique(names, f"{path.name} gene")
    return tuple(names)


@dataclass(frozen=True)
class GeneColumns:
    """Where wanted genes stand in a file.

    Attributes:
        columns: Column of each wanted gene, shape (G,), int64; -1 where the file lacks it.
    """

    columns: NDArray[np.int64]
    missing: tuple[str, ...] = ()

    def take(self, matrix: Matrix) -> Matrix:
        """Cut the wanted genes, (N, G), in their order, out of a matrix; missing ones become 0."""
        if len(self.columns) == matrix.shape[1] and np.array_equal(
            self.columns, np.arange(matrix.shape[1])
        ):
            return matrix
        there = np.flatnonzero(self.columns >= 0)
        kept = matrix[:, self.columns[there]]
        if len(there) == len(self.columns):
            return kept
        if not sparse.issparse(matrix):
            filled = np.zeros((len(matrix), len(self.columns)), dtype=matrix.dtype)
            filled[:, there] = kept
            return filled
        indices = there[kept.indices]
        shape = (matrix.shape[0], len(self.columns))
        return sparse.csr_matrix((kept.data, indices, kept.indptr), shape=shape)


def find_genes(
    names: Sequence[str],
    wanted: Sequence[str],
    max_missing: float = MAX_MISSING,
    consequence: str = "taken as 0",
) -> GeneColumns:
    """Find wanted genes among the names of a file.

    Args:
        max_missing: Largest share of the wanted genes that may be missing, from 0 to 1.
        consequence: Fate of the missing genes, for the warning that names them.
    """
    _check_share(max_missing)
    check_unique(names, "gene")
    check_unique(wanted, "gene")
    place = {name: column for column, name in enumerate(names)}
    columns = np.array([place.get(name, -1) for name in wanted], dtype=np.int64)
    missing = tuple(name for name in wanted if name not in place)
    near = {name.lower() for name in names}.intersection(name.lower() for name in missing)
    remedy = f"; {len(near)} are there in other letters (SST and Sst): rename them" if near else ""
    if len(missing) == len(wanted):
        raise ValueError(
            f"none of the {len(wanted)} wanted genes is in the file, whose genes are"
            f" {shown(names)}; wanted are {shown(wanted)}"
            f"{remedy or ': are both symbols, or both identifiers?'}"
        )
    if len(missing) > max_missing * len(wanted):
        raise ValueError(
            f"{len(missing)} of {len(wanted)} wanted genes are missing, more than max_missing="
            f"{max_missing:g} allows: {shown(missing)}{remedy}"
        )
    if missing:
        told = f"{len(missing)} of {len(wanted)} wanted genes are missing and {consequence}"
        warn(f"{told}: {shown(missing)}")
    return GeneColumns(columns, missing)


@dataclass(frozen=True)
class GeneChoice:
    """The settings that choose genes; see `cells.CellDataModule`."""

    genes: str = ALL
    num_highly_variable: int | None = None
    max_missing: float = MAX_MISSING
    marked: tuple[str, ...] | None = None  # by a column of var

    def __post_init__(self) -> None:
        if self.num_highly_variable is not None:
            check_count("num_highly_variable", self.num_highly_variable)
        _check_share(self.max_missing)

    def candidates(self, names: Sequence[str], varies: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Columns of the genes of the list, or of all; constant genes are left out with a warning.

        `varies` says of each gene whether it differs between any two cells, shape (G,).
        """
        if self.genes == ALL:
            columns = np.arange(len(names))
        else:
            listed = self.marked or read_gene_list(Path(self.genes).expanduser())
            columns = find_genes(names, listed, self.max_missing, "left out").columns
            columns = columns[columns >= 0]
        constant = [names[column] for column in columns[~varies[columns]].tolist()]
        if len(constant) == len(columns):
            raise ValueError(
                f"each of the {len(columns)} genes is the same in all cells, which leaves nothing"
                " to learn: is this the right layer?"
            )
        if constant:
            told = "genes are the same in all cells and left out"
            warn(f"{len(constant)} {told}: {shown(constant)}")
        kept: NDArray[np.int64] = columns[varies[columns]].astype(np.int64)
        return kept


def _check_share(max_missing: float) -> None:
    if isinstance(max_missing, str) or not 0 <= max_missing <= 1:
        raise ValueError(f"max_missing is {max_missing!r}; it must lie between 0 and 1")


def gene_range(matrix: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure the smallest and largest value of each gene of a dense or CSR matrix, shape (G,)."""
    low = np.full(matrix.shape[1], np.inf)
    high = np.full(matrix.shape[1], -np.inf)
    for start in range(0, matrix.shape[0], ROWS):
        part = matrix[start : start + ROWS]
        least, most = part.min(axis=0), part.max(axis=0)
        if sparse.issparse(part):
            least, most = least.toarray().ravel(), most.toarray().ravel()
        np.minimum(low, least, out=low)
        np.maximum(high, most, out=high)
    return low, high


def highly_variable(
    matrix: Matrix, num_genes: int, batch: Sequence[str] | None = None
) -> NDArray[np.int64]:
    """Choose the genes that vary most for their mean, with scanpy's flavour `seurat`.

    Args:
        matrix: Log-normalised expression of training cells, shape (N, G), dense or CSR.
        num_genes: At most G.
        batch: Batch of each cell: genes are then chosen in each batch, and those chosen in most
            batches are kept, so that a difference between batches makes no gene variable.

    Returns:
        Their columns in the order of the matrix, shape (num_genes,).
    """
    scanpy, anndata = require_scanpy(), require_anndata()
    cells = anndata.AnnData(X=matrix.astype(np.float32, copy=False))
    if batch is not None:
        cells.obs["batch"] = list(batch)
        cells.obs["batch"] = cells.obs["batch"].astype("category")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scanpy and pandas on their own insides
        table = scanpy.pp.highly_variable_genes(
            cells,
            n_top_genes=num_genes,
            flavor="seurat",
            batch_key=None if batch is None else "batch",
            inplace=False,
        )
    kept = np.flatnonzero(table["highly_variable"].to_numpy()).astype(np.int64)
    if len(kept) > num_genes:  # scanpy keeps genes that vary as much as the last one
        varies = table["dispersions_norm"].to_numpy()[kept]
        kept = np.sort(kept[np.argsort(-varies, kind="stable")[:num_genes]])
    batches = "" if batch is None else f", in each of {len(set(batch))} batches"
    told = f"highly variable genes were chosen on {matrix.shape[0]} training cells{batches}"
    inform(f"{len(kept)} {told}")
    return kept


def shown(names: Sequence[str]) -> str:
    """Join at most ten names for a message, and say how many more there are."""
    more = len(names) - NUM_SHOWN
    return ", ".join(map(str, names[:NUM_SHOWN])) + (f" and {more} more" if more > 0 else "")


def warn_of_cells(matrix: Matrix, genes: Sequence[str], name: str) -> None:
    """Warn of cells (N, G) without expression, and of a gene that has most of all expression."""
    libraries = library_sizes(matrix)
    if empty := int((libraries == 0).sum()):
        told = "are empty; scanpy.pp.filter_cells(adata, min_counts=1) drops them"
        warn(f"{empty} of {len(libraries)} cells of {name} {told}")
    part = matrix[spaced(len(libraries), ROWS)]
    share = np.asarray(part.sum(axis=0)).ravel() / max(part.sum(), 1.0)
    if len(genes) >= FEW and share.max() > 0.5:
        top = int(share.argmax())
        warn(
            f"the gene {genes[top]} has {100 * share[top]:.0f} % of the expression in {name}, so"
            " libraries measure little else: is it a gene? Else leave it out"
        )


def warn_of_left_out(
    num_genes: int, kept: NDArray[np.float64], library: NDArray[np.float64]
) -> None:
    """Warn if left-out genes hold raw counts, for the effect on decoded profiles.

    Args:
        kept: Sum of each cell's raw counts over them, shape (N,).
        library: Sum over all genes, shape (N,).
    """
    share = kept.sum() / max(library.sum(), 1.0)
    if share < WHOLE:
        warn(
            f"the {num_genes} genes chosen hold {100 * share:.0f} % of the raw counts of the"
            " training cells. Likelihoods of counts describe each gene's part of these genes'"
            " counts, not of all: decoded values lie above the data, and small changes of them may"
            " have the other sign"
        )
