"""The tables of README.md and docs/results.md are recomputed from the files of experiments/results.

Means and deviations are those of the values of single runs where these are kept, else those of the
table that the command wrote. A figure that no file has must stand in parentheses, or in a row, that
say *not kept*.
"""

from __future__ import annotations

import csv
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"
FIGURE = re.compile(r"(?<![\w.])-?\d*\.\d+")
NOT_KEPT = "not kept"
METHODS = {
    "cpl-mixVAE": "cpl", "one agent": "mix_vae", "JointVAE": "joint_vae",
    "CascadeVAE": "cascade_vae", "InfoGAN": "info_gan", "VaDE": "vade", "GMVAE": "gmvae",
    "beta-VAE": "beta_vae", "IMSAT": "imsat",
}  # fmt: skip
REAL_SETS = ("pbmc_10x_2100", "mouse_bladder_2100", "worm_neurons_2100", "five_cell_lines_571")

Runs = list[dict[str, str]]


def runs(file: str, **wanted: str) -> Runs:
    """The lines of a CSV, one a run, in which columns have these values."""
    with (RESULTS / file).open(encoding="utf-8") as lines:
        found = [row for row in csv.DictReader(lines) if wanted.items() <= row.items()]
    assert found, (file, wanted)
    return found


def spread(found: Runs, column: str, digits: int = 3) -> str:
    """Mean ± sample deviation over runs."""
    values = [float(row[column]) for row in found]
    return f"{statistics.fmean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def kept(file: str, *first: str) -> dict[str, str]:
    """A row of a Markdown table that a command wrote, by column."""
    header: list[str] = []
    for line in (RESULTS / file).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            header = []
        elif not header:
            header = cells
        elif tuple(cells[: len(first)]) == first:
            return dict(zip(header, cells, strict=True))
    raise AssertionError(f"{file} has no row {first}")


def short(text: str) -> str:
    """Figures without the zero before the point, as the README prints them."""
    return re.sub(r"\b0\.", ".", text)


def real_cells(method: str, *, deviation: bool) -> str:
    """ARI on the four real sets."""
    texts = [kept("cells_real.md", name, method)["ARI"] for name in REAL_SETS]
    return short(", ".join(text if deviation else text.partition(" ")[0] for text in texts))


def order(column: str) -> str:
    """The spread over seeds in cells_recovery.md, which lists their values rounded."""
    return kept("cells_recovery.md", "from K = 20", "all")[column]


def row_of(found: Runs) -> list[str]:
    columns = {"test/accuracy": 3, "test/nmi": 3, "test/consensus": 3, "test/reconstruction": 1}
    return [spread(found, column, digits) for column, digits in (columns | {"seconds": 0}).items()]


# The betas with the best probe on validation trials, as beta_sweep.md has them.
RATS_BEST = {"mmvm": "1.0", "independent": "1.0", "poe": "1.0", "moe": "0.3", "mopoe": "0.1"}


def rats(file: str, method: str, beta: str, *columns: str) -> list[str]:
    found = runs(f"{file}/beta_sweep.csv", method=method, beta=beta)
    return [spread(found, column) for column in columns]


def readme() -> dict[str, list[str]]:
    """The figures of each row of the README's table, by the start of the row."""
    fresh = runs("fresh/digits_cpl.csv")
    assert "0" not in {row["split"] for row in fresh}
    measures = ("test/probe_accuracy", "test/private_r2", "test/coherence")
    figures = {
        "`digits_cpl`": [
            spread(runs("mixture_table/digits.csv", method="cpl"), "test/accuracy"),
            spread(fresh, "test/accuracy"),
        ],
        "`mnist_cpl`": [spread(runs("fresh/mnist_cpl.csv"), "test/accuracy")],
        "`cells_synthetic_order`": [order("ARI"), order("Leiden, best")],
        "`cells_cpl`": [
            real_cells("cpl-mixVAE", deviation=False),
            real_cells("Leiden, best by labels", deviation=False),
            real_cells("Leiden, r = 1", deviation=False),
        ],
        "`hippocampus_mmvm`": [
            text
            for method, beta in RATS_BEST.items()
            for text in rats("hippocampus_fresh", method, beta, *measures)
        ],
    }
    return {start: [short(text) for text in texts] for start, texts in figures.items()}


def results() -> dict[str, list[str]]:
    """The figures of each row of docs/results.md."""
    probe, coherence = "test/probe_accuracy", "test/coherence"
    of = {m: rats("hippocampus", m, "1.0", probe)[0] for m in ("poe", "avg")}
    mmvm = rats("hippocampus", "mmvm", "1.0", probe, coherence)
    alone = rats("hippocampus", "independent", "0.1", probe, coherence)
    return {
        "`digits_cpl`": row_of(runs("mixture_table/digits.csv", method="cpl")),
        "`mnist_cpl`": row_of(runs("fresh/mnist_cpl.csv")),
        "`mnist_mix_vae`": [
            spread(runs("fresh/mnist_mix_vae.csv"), f"test/{name}", digits)
            for name, digits in (("accuracy", 3), ("nmi", 3), ("reconstruction", 1))
        ],
        "`mnist_cpl_paper`": row_of(runs("fresh/mnist_cpl_paper.csv")),
        "`cells_synthetic_order`": [order(c) for c in ("ARI", "Leiden, best", "precision at 20")],
        "`cells_cpl` on scanpy": [
            kept("cells_pbmc.md", method)["ARI"]
            for method in ("cpl-mixVAE", "Leiden, best resolution")
        ],
        "`cells_cpl` on PBMC": [
            real_cells("cpl-mixVAE", deviation=True),
            real_cells("Leiden, best by labels", deviation=False),
            real_cells("Leiden, r = 1", deviation=False),
        ],
        "`hippocampus_mmvm model.beta=1`": [mmvm[0], *of.values(), alone[0], mmvm[1], alone[1]],
    } | {
        name: [
            spread(runs(f"mixture_table/{data}.csv", method=method), "test/accuracy")
            for data in ("digits", "mnist", "dsprites_rendered")
        ]
        for name, method in METHODS.items()
    }


PAGES = {"README.md": readme(), "docs/results.md": results()}


def rows(page: str) -> list[str]:
    """The rows of a page's tables."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    return [line.strip("| ") for line in lines if line.startswith("|") and "---" not in line]


def check(row: str, expected: list[str]) -> None:
    """Each expected text stands in the row, and no other figure but those not kept."""
    for text in expected:
        assert text in row, f"{text!r} is not in {row!r}"
        row = row.replace(text, "", 1)
    left = FIGURE.findall(re.sub(rf"\([^()]*{NOT_KEPT}\)", "", row))
    assert not left, f"{left} are not in experiments/results: {row!r}"


@pytest.mark.parametrize(
    ("page", "start"), [(page, start) for page, starts in PAGES.items() for start in starts]
)
def test_a_row_is_what_the_files_say(page: str, start: str) -> None:
    (row,) = [row for row in rows(page) if row.startswith(start)]
    check(row.partition("|")[2], PAGES[page][start])


@pytest.mark.parametrize("page", PAGES)
def test_no_row_with_a_figure_is_left_out(page: str) -> None:
    for row in rows(page):
        known = row.startswith(tuple(PAGES[page])) or NOT_KEPT in row
        assert known or not FIGURE.search(row), row


def test_a_figure_that_differs_is_found() -> None:
    check("accuracy .957 ± .002 (.9 in other hands, not kept), 10 categories", [".957 ± .002"])
    for row in ("accuracy .958 ± .002", "accuracy .957 ± .002, and .9"):
        with pytest.raises(AssertionError):
            check(row, [".957 ± .002"])
