"""CITE-seq: what MMVM on genes and proteins gives a biologist, beside the usual tools.

    python -m experiments.cite --cells cite_cbmc_8617.h5ad --seeds 0 1 2

Proteins of the test cells are imputed from their RNA alone, by MMVM, by ridge regressions (on all
genes and on 50 principal components) and by nearest neighbours, all fitted on the run's training
cells; penalty and number of neighbours have the best mean correlation on its validation cells.
Types, which no method sees, are read off by logistic regressions fitted on the training cells.
Leiden clusters all cells; its best resolution is chosen with the types, which no user can do, and
resolution 1 stands beside it. The aggregate latent is the mean of the two posterior means.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from experiments.cells_real import best, leiden
from experiments.cells_recovery import RESULTS
from experiments.reports import command_of, markdown, options, spread, write_table
from experiments.single_runs import train
from mixvae.data import CiteDataModule
from mixvae.impute import impute

NUM_COMPONENTS = 50
PENALTIES = (1e1, 1e2, 1e3, 1e4, 1e5)
NEIGHBOURS = (5, 10, 20, 30, 50, 100)
Array = NDArray[np.float64]
Values = dict[str, float]


def pearson(a: Array, b: Array) -> Array:
    """Correlation of each column of (N, P) arrays, shape (P,)."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return np.asarray((a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0)))


def log_counts(rna: Array) -> Array:
    """Log counts per 10,000."""
    return np.asarray(np.log1p(1e4 * rna / rna.sum(axis=1, keepdims=True)))


class Cells:
    """The cells of a file and their split in a run of a seed."""

    def __init__(self, path: str, seed: int) -> None:
        self.data = CiteDataModule(path=path, seed=seed)
        self.data.setup()
        arrays = self.data.read_arrays()
        self.rna = np.asarray(arrays["rna"], dtype=np.float64)
        self.protein = np.asarray(arrays["protein"], dtype=np.float64)
        label = self.data.read_labels(len(self.rna), arrays.ids)
        self.type = label.label
        self.train, self.val, self.test = (
            self.data.event_rows(split) for split in ("train", "val", "test")
        )
        logs = log_counts(self.rna)
        self.logs = StandardScaler().fit(logs[self.train]).transform(logs)
        reduction = PCA(NUM_COMPONENTS, random_state=0).fit(logs[self.train])
        self.components = reduction.transform(logs)


def regressed(cells: Cells, x: Array, models: Sequence[Any]) -> Array:
    """Proteins of the test cells, by the model that is best on the validation cells."""
    fitted = [model.fit(x[cells.train], cells.protein[cells.train]) for model in models]
    val = cells.protein[cells.val]
    scores = [pearson(model.predict(x[cells.val]), val).mean() for model in fitted]
    return np.asarray(fitted[int(np.argmax(scores))].predict(x[cells.test]))


def imputations(cells: Cells, folder: Path) -> dict[str, Array]:
    """Correlation of each protein of the test cells with its imputation, by method."""
    ridges = [Ridge(penalty) for penalty in PENALTIES]
    neighbours = [KNeighborsRegressor(count) for count in NEIGHBOURS]
    found = {
        "MMVM": impute({"rna": cells.rna[cells.test]}, run=folder)["protein/filled"],
        "ridge, all genes": regressed(cells, cells.logs, ridges),
        "ridge, 50 PCs": regressed(cells, cells.components, ridges),
        "nearest neighbours, 50 PCs": regressed(cells, cells.components, neighbours),
    }
    truth = cells.protein[cells.test]
    return {name: pearson(np.asarray(values), truth) for name, values in found.items()}


def probe(cells: Cells, x: Array) -> float:
    """Accuracy on test cells of a logistic regression fitted on training cells."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(x[cells.train], cells.type[cells.train])
    return float(model.score(x[cells.test], cells.type[cells.test]))


def representations(cells: Cells, folder: Path) -> dict[str, Array]:
    """Latents of all cells, and what they are compared with, by name."""
    result = impute({"rna": cells.rna, "protein": cells.protein}, run=folder)
    rna, protein = (np.asarray(result[f"{name}/mean"], np.float64) for name in ("rna", "protein"))
    few = cells.components[:, : rna.shape[1]]
    scaled = StandardScaler().fit_transform(cells.protein)
    # Both blocks have the same total variance, so that neither decides alone.
    blocks = [block / np.sqrt(block.var(axis=0).sum()) for block in (few, scaled)]
    return {
        "MMVM, RNA": rna,
        "MMVM, protein": protein,
        "MMVM, aggregate": (rna + protein) / 2,
        "MMVM, both": np.concatenate([rna, protein], axis=1),
        "RNA PCs": few,
        "proteins": scaled,
        "RNA PCs and proteins": np.concatenate(blocks, axis=1),
    }


def measure(path: str, folder: Path, seed: int) -> dict[str, Any]:
    """All measures of a finished run."""
    cells = Cells(path, seed)
    labels = cells.type.astype(str)
    points = representations(cells, folder)
    clustered = {name: leiden(x, labels, seed) for name, x in points.items()}
    return {
        "pearson": {name: v.tolist() for name, v in imputations(cells, folder).items()},
        "probe": {name: probe(cells, x) for name, x in points.items()},
        "ARI, best by types": {name: best(found)["ARI"] for name, found in clustered.items()},
        "ARI, resolution 1": {name: found[1.0]["ARI"] for name, found in clustered.items()},
    }


def tabulate(found: Sequence[Mapping[str, Any]], proteins: Sequence[str]) -> str:
    """Two tables: correlations by protein, and types by representation; mean and deviation."""
    methods = list(found[0]["pearson"])
    rows = []
    choose: list[tuple[str, Callable[[Sequence[float]], float]]] = [
        (name, lambda values, n=n: values[n])  # type: ignore[misc]
        for n, name in enumerate(proteins)
    ]
    choose.append(("**mean**", lambda values: float(np.mean(values))))
    for name, take in choose:
        rows.append([name, *(spread([take(one["pearson"][m]) for one in found]) for m in methods)])
    measures = [name for name in found[0] if name != "pearson"]
    types = [
        [name, *(spread([one[measure][name] for one in found]) for measure in measures)]
        for name in found[0]["probe"]
    ]
    return "\n\n".join(
        [markdown(["protein", *methods], rows), markdown(["representation", *measures], types)]
    )


def protein_names(path: str, count: int) -> list[str]:
    """Names of the proteins, or their numbers where `obsm/protein` is a plain array."""
    import anndata

    table = anndata.read_h5ad(path).obsm["protein"]
    return [str(name) for name in getattr(table, "columns", range(count))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, and write the table and `cite.json`."""
    parser = options(__doc__, Path("runs", "cite"), RESULTS)
    parser.add_argument("--cells", required=True, help="an .h5ad file with obsm/protein")
    chosen = parser.parse_args(arguments)
    found = []
    for seed in chosen.seeds:
        folder = chosen.runs / f"seed{seed}"
        train("cite_mmvm", folder, seed, [f"data.path={chosen.cells}", *chosen.overrides])
        found.append(measure(chosen.cells, folder, seed))
        print(seed, json.dumps(found[-1]), flush=True)
    names = protein_names(chosen.cells, len(found[0]["pearson"]["MMVM"]))
    text = tabulate(found, names)
    write_table(chosen.results / "cite.md", "cite", arguments, text)
    made = {
        "command": command_of("cite", arguments),
        "proteins": names,
        "seeds": dict(zip(chosen.seeds, found, strict=True)),
    }
    (chosen.results / "cite.json").write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
