"""Large files of cells, written block by block, and how fast their batches are read."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from mixvae.data.cells.datamodule import CellDataModule

NUM_TYPES = 20
STORED = 100  # values of a cell: one gene of each group of neighbouring genes
BLOCK = 50_000  # cells in memory at a time


def write_many(path: Path, num_cells: int, num_genes: int = 2000, seed: int = 0) -> None:
    """Write counts of cells of 20 types, 100 stored values each, as a CSR matrix in X.

    The genes stand in 100 groups. A cell has one gene of each, drawn with weights of its type, and
    a count of 1 or more there. Types lie in any order; obs has them as `type`.

    Args:
        path: File to write, .h5ad.
        num_cells: Of the file, which never lies in memory.
        num_genes: A multiple of 100.
        seed: Of the weights and the cells.
    """
    import anndata
    import h5py
    import pandas

    random = np.random.default_rng(seed)
    size = num_genes // STORED
    weights = random.gamma(0.3, size=(NUM_TYPES, STORED, size)) + 1e-3
    share = (weights / weights.sum(axis=-1, keepdims=True)).cumsum(axis=-1)
    share[..., -1] = 1.0
    bounds = (share + np.arange(STORED)[:, None]).reshape(NUM_TYPES, -1)
    types = random.integers(NUM_TYPES, size=num_cells)
    obs = pandas.DataFrame(
        {"type": pandas.Categorical.from_codes(types, [f"type{t}" for t in range(NUM_TYPES)])},
        index=[f"cell{i}" for i in range(num_cells)],
    )
    var = pandas.DataFrame(index=[f"gene{g}" for g in range(num_genes)])
    anndata.AnnData(obs=obs, var=var).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        file.pop("X", None)
        x = file.create_group("X")
        x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        x.attrs["shape"] = np.array([num_cells, num_genes])
        x["indptr"] = np.arange(num_cells + 1, dtype=np.int64) * STORED
        data = x.create_dataset("data", (num_cells * STORED,), np.float32)
        indices = x.create_dataset("indices", (num_cells * STORED,), np.int32)
        for start in range(0, num_cells, BLOCK):
            type_ = types[start : start + BLOCK]
            drawn = random.random((len(type_), STORED)) + np.arange(STORED)
            genes = np.empty(drawn.shape, dtype=np.int32)
            for number in range(NUM_TYPES):
                own = type_ == number
                genes[own] = np.searchsorted(bounds[number], drawn[own], side="right")
            place = slice(start * STORED, start * STORED + genes.size)
            indices[place] = np.minimum(genes, num_genes - 1).ravel()
            data[place] = (1 + random.poisson(0.5, genes.size)).astype(np.float32)


def read_epoch(path: Path, backed: bool, cells: int | None = None) -> dict[str, float]:
    """Read batches of 250 as training does.

    Args:
        path: File of raw counts in X.
        backed: Leave the cells on disk.
        cells: Read no more of them; None reads an epoch.

    Returns:
        Processor seconds to open the data, and cells read per processor second.
    """
    start = time.process_time()
    data = CellDataModule(path=str(path), backed=backed, seed=0, target_sum="median")
    data.setup()
    opened = time.process_time() - start
    loader = data.train_dataloader()
    start, read = time.process_time(), 0
    for batch in loader:
        read += len(batch.x)
        if cells is not None and read >= cells:
            break
    return {"start": opened, "cells_per_second": read / (time.process_time() - start)}


def main() -> None:
    """Measure in a process of its own: `python -m experiments.many_cells PATH [--backed]`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--backed", action="store_true")
    parser.add_argument("--cells", type=int, default=None)
    options = parser.parse_args()
    print(json.dumps(read_epoch(options.path, options.backed, options.cells)))


if __name__ == "__main__":
    main()
