"""The Allen Institute's Smart-seq tables (CSV) made into an .h5ad file of the cell contract.

A release has three tables: the exon matrix, counts with one row a gene and one column a sample; the
samples with their class, subclass and cluster; and the genes with their symbols.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from mixvae.data.cells.expression import check_counts, library_sizes, log_cpm
from mixvae.data.cells.genes import check_unique, find_genes, read_gene_list, shown
from mixvae.data.files.anndata_files import check_free_path, require_anndata
from mixvae.files import replacing

SAMPLE = "sample_name"
DESCRIBED = ("class", "subclass", "cluster")
VALUES_AT_ONCE = 10_000_000  # of the matrix, read together


def import_smartseq(
    exon: str,
    samples: str,
    genes: str,
    out: str,
    gene_list: str | None = None,
    keep: str | None = None,
    drop: str = "No Class,Low Quality,Outlier,Doublet,Batch Grouping,High Intronic",
    gene_id: str = "gene_entrez_id",
    gene_name: str = "gene_symbol",
    max_missing: float = 0.2,
    overwrite: bool = False,
) -> str:
    """Make an .h5ad file of the Allen Institute's Smart-seq tables (CSV, also .csv.gz).

    Args:
        exon: The counts: one row a gene and one column a sample, or the other way round.
        samples: The samples: a column `sample_name`, and `class`, `subclass`, `cluster`.
        genes: The genes: how the matrix calls them, and their symbols.
        gene_list: Text file of the symbols to keep, one a line; None keeps all.
        keep: Samples to keep by a column of theirs, such as `class=GABAergic,Glutamatergic`;
            several columns are parted by a semicolon. None keeps all.
        drop: Samples to leave out: those whose class, subclass or cluster begins with one of these.
        gene_id: Column of `genes` with the names that the matrix has.
        gene_name: Column of `genes` with the names to write.
        max_missing: Largest share of the listed genes that may be missing, from 0 to 1.
    """
    check_free_path(Path(out), overwrite)
    anndata = require_anndata()
    listed = None if gene_list is None else read_gene_list(Path(gene_list))
    table = _kept_samples(Path(samples), keep, _words(drop))
    symbols = _symbols(Path(genes), gene_id, gene_name)
    whole, names = _read_counts(Path(exon), list(table.index), symbols)
    columns = np.arange(len(names))
    if listed is not None:
        wanted = find_genes(names, listed, max_missing, "left out").columns
        columns = wanted[wanted >= 0]
    counts, library = whole[:, columns], library_sizes(whole)
    table["library_size"] = library
    adata = anndata.AnnData(X=log_cpm(counts, library), obs=table, layers={"counts": counts})
    adata.var_names = [names[column] for column in columns]
    with replacing(Path(out)) as temporary:
        adata.write_h5ad(temporary)
    return (
        f"wrote {out}: {adata.n_obs} cells, {adata.n_vars} genes; log-CPM in X, counts in layer"
        f" counts; obs has {', '.join(map(str, table.columns))}"
    )


def _kept_samples(path: Path, keep: str | None, drop: Sequence[str]) -> Any:
    """Describe the samples to keep: a table by sample name, in the order of the file."""
    header = _read_header(path)
    _need(path, header, SAMPLE)
    rules = {}
    for rule in filter(None, (keep or "").split(";")):
        column, sign, text = rule.partition("=")
        if not sign or not _words(text):
            raise ValueError(f"keep has the part {rule!r}; write column=value,value")
        _need(path, header, column.strip())
        rules[column.strip()] = _words(text)
    described = [column for column in DESCRIBED if column in header]
    columns = list(dict.fromkeys([SAMPLE, *described, *rules]))
    table = _read_csv(path, usecols=columns, dtype=str, keep_default_na=False)
    check_unique(list(table[SAMPLE]), "sample")
    table = table.set_index(SAMPLE)
    kept = np.ones(len(table), dtype=bool)
    for column, values in rules.items():
        there = sorted(set(table[column]))
        absent = [value for value in values if value not in there]
        if absent:
            raise ValueError(
                f"keep asks for {column}={absent[0]}, but {column} of {path} has {shown(there)}"
            )
        kept &= table[column].isin(values).to_numpy()
    for column in described:
        kept &= ~table[column].str.startswith(tuple(drop)).to_numpy(dtype=bool)
    if not kept.any():
        raise ValueError(f"of {len(table)} samples in {path} none is left; change keep or drop")
    table = table[kept][described]
    return table.astype("category")


def _symbols(path: Path, gene_id: str, gene_name: str) -> dict[str, str]:
    """Map the matrix's name of a gene to its symbol."""
    header = _read_header(path)
    for column in (gene_id, gene_name):
        _need(path, header, column)
    table = _read_csv(path, usecols=list({gene_id, gene_name}), dtype=str, keep_default_na=False)
    check_unique(list(table[gene_id]), gene_id)
    return dict(zip(table[gene_id], table[gene_name], strict=True))


def _read_counts(
    path: Path, samples: list[str], symbols: dict[str, str]
) -> tuple[sparse.csr_matrix, list[str]]:
    """Counts of the kept samples, CSR (N, G), a few rows of the file at a time; G symbols."""
    first, *header = _read_header(path)
    kept, blocks, rows = set(samples), [], []
    if kept & set(header):
        _refuse_absent(path, samples, header)
        for names, block in _blocks(path, first, samples):
            rows += names
            blocks.append(block)
        genes = rows
        _check_genes(path, genes, symbols)
        counts = sparse.csr_matrix(sparse.vstack(blocks, format="csr").T)
    else:
        # every gene is read, since a library is the sum over all of them
        genes = header
        _check_genes(path, genes, symbols)
        for names, block in _blocks(path, first, header):
            there = [place for place, name in enumerate(names) if name in kept]
            rows += [names[place] for place in there]
            blocks.append(block[there])
        check_unique(rows, "sample")
        _refuse_absent(path, samples, rows)
        place = {name: row for row, name in enumerate(rows)}
        counts = sparse.csr_matrix(sparse.vstack(blocks, format="csr"))
        counts = counts[[place[name] for name in samples]]
    check_counts(counts, f"the matrix {path}")
    named = [symbols[gene] for gene in genes]
    check_unique(named, "gene_name")
    return counts, named


def _blocks(
    path: Path, first: str, columns: list[str]
) -> Iterator[tuple[list[str], sparse.csr_matrix]]:
    """Yield the names of some rows and these columns of them, in this order."""
    size = max(1, VALUES_AT_ONCE // len(columns))
    types: dict[str, Any] = dict.fromkeys(columns, np.float32)
    types[first] = str
    reader = _read_csv(path, usecols=[first, *columns], dtype=types, chunksize=size)
    try:
        for chunk in reader:
            values = sparse.csr_matrix(chunk[columns].to_numpy(dtype=np.float32))
            yield list(chunk[first]), values
    except ValueError as error:
        raise ValueError(f"{path} holds something other than numbers: {error}") from error
    finally:
        reader.close()


def _check_genes(path: Path, ids: Sequence[str], symbols: dict[str, str]) -> None:
    check_unique(ids, "gene_id")
    unknown = [gene for gene in ids if gene not in symbols]
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(ids)} genes of {path} are not in the table of genes:"
            f" {shown(unknown)}; it has {shown(list(symbols))}: is gene_id the right column?"
        )


def _refuse_absent(path: Path, samples: Sequence[str], there: Sequence[str]) -> None:
    present = set(there)
    absent = [name for name in samples if name not in present]
    if absent:
        raise ValueError(
            f"{len(absent)} of {len(samples)} samples are not in {path}: {shown(absent)};"
            f" it has {shown(there)}"
        )


def _need(path: Path, header: Sequence[str], column: str) -> None:
    if column not in header:
        raise ValueError(f"{path} has no column {column!r}; it has {shown(header)}")


def _read_header(path: Path) -> list[str]:
    """Names of the columns, as pandas calls them; they must be unique."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; a CSV table is expected")
    table = _read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False)
    names: list[str] = table.iloc[0].tolist()
    if len(names) < 2:
        raise ValueError(f"{path} is not a CSV table: its first line is {names}")
    check_unique(names, f"{path.name} column")
    return [name or "Unnamed: 0" for name in names]


def _read_csv(path: Path, **options: Any) -> Any:
    import pandas  # comes with anndata

    try:
        return pandas.read_csv(path, encoding="utf-8-sig", **options)
    except (
        pandas.errors.ParserError,
        pandas.errors.EmptyDataError,
        UnicodeDecodeError,
        EOFError,
        gzip.BadGzipFile,
        zlib.error,
    ) as error:
        raise ValueError(f"{path} is not a CSV table: {error}") from error


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
