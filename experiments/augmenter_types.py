"""Does the learned augmenter keep a cell's type? Its copies among labelled cells of known type.

    python -m experiments.augmenter_types --seeds 0 1 2

For each seed it trains `+experiment=cells_augmenter` on cells of that seed (finished runs are
kept), copies the test cells and asks which training cells are nearest: in 20 principal components,
where neighbours of unaltered cells are often of another type, and in the linear discriminants of
the training cells' types, where types are told apart. Beside it stands how far copies lie from
their cell and from another copy of it, in units of the cell's distance to the nearest labelled one.
Labels serve this judgement only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.reports import options, spread, write_table
from experiments.single_runs import train
from mixvae.augmenters.learned import Learned
from mixvae.data import SyntheticCellsDataModule

RESULTS = Path(__file__).parent / "results"
Array = NDArray[np.float32]
Map = Callable[[Array], Array]
TARGET_SUM = 1e4  # of data=cells_synthetic_10k
PUBLIC_SCALE = 0.1  # MMIDAS, in use; its noise is uniform in [0, 1)


class Cells(NamedTuple):
    """Cells and their types, shapes (N, G) and (N,)."""

    x: Array
    type: NDArray[np.int64]


class Judge(NamedTuple):
    """A space in which neighbours are looked up: the labelled cells in it, and the way there."""

    project: Map
    points: Array
    type: NDArray[np.int64]

    def neighbours(self, x: Array, count: int) -> tuple[Array, NDArray[np.int64]]:
        """Distances and rows of the nearest labelled cells, each (N, count)."""
        from sklearn.neighbors import NearestNeighbors

        index = NearestNeighbors(n_neighbors=count).fit(self.points)
        distance, rows = index.kneighbors(self.project(x))
        return distance, rows


def judges(labelled: Cells) -> dict[str, Judge]:
    """The two spaces, fitted to labelled cells."""
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    pca = PCA(20, random_state=0).fit(labelled.x)
    lda = LinearDiscriminantAnalysis().fit(labelled.x, labelled.type)
    return {
        name: Judge(fitted.transform, fitted.transform(labelled.x), labelled.type)
        for name, fitted in (("PCA", pca), ("LDA", lda))
    }


def kept(judge: Judge, copies: Array, type_: NDArray[np.int64]) -> tuple[float, float]:
    """Share of copies whose nearest labelled cell, and majority of five, are of the right type."""
    _, rows = judge.neighbours(copies, 5)
    types = judge.type[rows]
    votes = np.array([np.bincount(row).argmax() for row in types])
    return float((types[:, 0] == type_).mean()), float((votes == type_).mean())


def relative_distance(judge: Judge, copies: Array, others: Array, x: Array) -> float:
    """Median distance from copies to others, over the cell's own to its nearest labelled one."""
    nearest, _ = judge.neighbours(x, 1)
    moved = np.linalg.norm(judge.project(copies) - judge.project(others), axis=1)
    return float(np.median(moved / nearest[:, 0]))


def read_cells(data: SyntheticCellsDataModule, split: str) -> Cells:
    """All cells of a split."""
    batches = list(data.eval_dataloader(split))
    return Cells(
        torch.cat([batch.x for batch in batches]).numpy(),
        torch.cat([batch.label for batch in batches]).numpy(),
    )


@torch.no_grad()
def variants(learned: Learned, x: Array, seed: int) -> dict[str, Array]:
    """What is compared: the cell, its copies, and what other ways of moving it would give."""
    network, cells = learned.network, torch.from_numpy(x)
    latent, _ = network.encode(cells)
    plain = network.decode(latent)
    torch.manual_seed(seed)
    noise = torch.randn(len(x), network.noise_dim)
    shift = network.shift(latent, noise)
    random = torch.nn.functional.normalize(torch.randn_like(shift), dim=-1)
    random = random * shift.norm(dim=-1, keepdim=True)
    uniform = PUBLIC_SCALE * torch.rand(len(x), network.noise_dim)

    def copy(moved: torch.Tensor) -> torch.Tensor:
        return network.assemble(cells, plain, network.decode(latent + moved))

    made = {
        "the cell itself": cells,
        "copy": copy(shift),
        "copy, scale 0.5": copy(0.5 * shift),
        "copy, scale 2": copy(2 * shift),
        "copy, the public code's noise (uniform, scale .1)": copy(network.shift(latent, uniform)),
        "a random shift of the copy's length": copy(random),
        "copy without residual": network.decode(latent + shift),
    }
    return {name: value.numpy() for name, value in made.items()}


def measure(folder: Path, data: SyntheticCellsDataModule) -> dict[str, dict[str, float]]:
    """For each variant its measures on the test cells."""
    labelled, held_out = read_cells(data, "train"), read_cells(data, "test")
    spaces = judges(labelled)
    rows: dict[str, dict[str, float]] = {}
    learned = Learned(str(folder))
    again = variants(learned, held_out.x, seed=1)
    for name, copies in variants(learned, held_out.x, seed=0).items():
        row = {}
        for space, judge in spaces.items():
            nearest, votes = kept(judge, copies, held_out.type)
            row |= {f"{space}, nearest": nearest, f"{space}, of 5": votes}
            row[f"{space}, from the cell"] = relative_distance(
                judge, copies, held_out.x, held_out.x
            )
            row[f"{space}, from another copy"] = relative_distance(
                judge, copies, again[name], held_out.x
            )
        rows[name] = row
    return rows


def table(seeds: Sequence[Mapping[str, Mapping[str, float]]]) -> str:
    """Markdown table, a row for each variant: mean and standard deviation over seeds."""
    columns = list(next(iter(seeds[0].values())))
    lines = ["| cells | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 1)]
    for name in seeds[0]:
        cells = [spread([seed[name][column] for seed in seeds]) for column in columns]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, print and write the table."""
    parser = options(__doc__, Path("runs", "augmenter_types"), RESULTS)
    chosen = parser.parse_args(arguments)
    measured = []
    for seed in chosen.seeds:
        folder = chosen.runs / f"seed{seed}"
        cells = ["data=cells_synthetic_10k", f"data.cells_seed={seed}", "trainer.max_epochs=45"]
        train("cells_augmenter", folder, seed, [*cells, "logger=csv", *chosen.overrides])
        data = SyntheticCellsDataModule(seed=seed, cells_seed=seed, target_sum=TARGET_SUM)
        data.setup()
        measured.append(measure(folder, data))
    text = table(measured)
    write_table(chosen.results / "augmenter_types.md", "augmenter_types", arguments, text)


if __name__ == "__main__":
    main()
