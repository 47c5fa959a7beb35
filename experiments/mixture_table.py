"""The table of the paper: methods by data, means over seeds, all with the same nets.

    python -m experiments.mixture_table                  digits, seeds 0 1 2
    python -m experiments.mixture_table --profile full   digits, MNIST and sprites, seeds 0 1 2
    python -m experiments.mixture_table --datasets mnist --methods cpl joint_vae --seeds 0 1 2 3 4
    python -m experiments.mixture_table --datasets mnist --settings own

`--settings equal` are the experiments of about one budget and the same networks; `own` those named
`_paper`, with the networks, steps and schedules of each method's public code, as a table of its
own. For each data set one multirun, `python -m mixvae.train -m seed=0,1,2 +experiment=digits_cpl,
...`, of the experiments as shipped, whatever the profile, as many runs at a time as there are
cores. The same command goes on where it stopped, and with more seeds or methods it runs what is
missing; runs of the same overrides that are kept elsewhere count where `--made-before` names the
folder that they lie in. `dsprites_rendered` are the experiments dsprites_* on sprites drawn by
ourselves, all with encoders that centre the sprite; `dsprites_rendered_plain` all without. Labels
only measure: accuracy is on test data, categories matched with classes one to one. Traversals are
of the first seed, over the state of largest spread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from experiments.comparison import method_scores
from experiments.multiruns import Job, Run, as_job, collect, complete
from experiments.reports import exit_status, headline, markdown, options, spread, write_runs
from experiments.run_settings import differing, encoder_of
from experiments.traversals import copy_traversal
from mixvae.cli.schema import conf_dir
from mixvae.sweeps.tables import JobRecord

RUNS = Path("runs", "mixture_table")
RESULTS = Path(__file__).parent / "results" / "mixture_table"
METHODS = (
    "cpl",
    "mix_vae",
    "joint_vae",
    "cascade_vae",
    "info_gan",
    "vade",
    "gmvae",
    "beta_vae",
    "imsat",
)
# Prefix of the experiments' names, and further overrides of their runs: if the
# experiments of a data set differ in their networks, those that all use.
DATASETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "digits": ("digits", ()),
    "mnist": ("mnist", ()),
    "dsprites": ("dsprites", ("networks=mlp_centred",)),
    "dsprites_rendered": ("dsprites", ("data=dsprites_rendered", "networks=mlp_centred")),
    "dsprites_rendered_plain": ("dsprites", ("data=dsprites_rendered", "networks=mlp_dsprites")),
}
# Ending of the experiments' names and of the table's, and what the table says above itself.
SETTINGS = {
    "equal": ("", "", "Equal budget: about as many steps for all methods, on the same networks."),
    "own": ("_paper", "_own", "Own settings: those of the public code; cpl: the paper's terms."),
}
PROFILES = {"quick": ["digits"], "full": ["digits", "mnist", "dsprites_rendered"]}


class Column(NamedTuple):
    """A measure: its name in the table, its decimals, and its reader."""

    name: str
    digits: int
    read: Callable[[Mapping[str, float]], float | None]


COLUMNS = (
    Column("accuracy", 3, lambda metrics: metrics.get("test/accuracy")),
    Column("NMI", 3, lambda metrics: metrics.get("test/nmi")),
    Column("ARI", 3, lambda metrics: metrics.get("test/ari")),
    Column("reconstruction (nats)", 1, lambda metrics: metrics.get("test/reconstruction")),
    Column("FactorVAE score", 3, lambda metrics: metrics.get("test/factor_vae")),
    # Of the whole run: starting, validation after each epoch and the test are part of it.
    Column(
        "seconds per epoch", 2, lambda metrics: metrics["seconds"] / max(metrics["epochs"], 1.0)
    ),
    Column("epochs", 0, lambda metrics: metrics["epochs"]),
)
DRAWN = ("accuracy", "NMI", "reconstruction (nats)", "FactorVAE score")

# Runs by method and seed.
Runs = dict[tuple[str, int], Run]


def jobs(
    dataset: str,
    methods: Sequence[str],
    seeds: Sequence[int],
    extra: Sequence[str],
    settings: str = "equal",
) -> dict[tuple[str, int], Job]:
    """List the runs of a data set; seeds come first, so that a stopped table has whole columns.

    Own settings leave out methods without an experiment of them, and keep its networks.
    """
    prefix, shared = DATASETS[dataset]
    ending, _, _ = SETTINGS[settings]
    if settings == "own":
        shared = tuple(line for line in shared if not line.startswith("networks="))
        folder = conf_dir() / "experiment"
        methods = [one for one in methods if (folder / f"{prefix}_{one}_paper.yaml").is_file()]
    return {
        (method, seed): as_job(
            [f"seed={seed}", f"+experiment={prefix}_{method}{ending}", *shared, *extra]
        )
        for seed, method in product(seeds, methods)
    }


def values(runs: Runs, method: str, column: Column) -> list[float]:
    """A measure of a method, one value for each seed that has it."""
    read = [column.read(run.record.metrics) for (name, _), run in runs.items() if name == method]
    return [value for value in read if value is not None]


def shown(runs: Runs) -> list[Column]:
    """The columns with a value in some run."""
    methods = {method for method, _ in runs}
    return [column for column in COLUMNS if any(values(runs, name, column) for name in methods)]


def ordered(runs: Runs) -> list[str]:
    """The methods that have runs, in the order of the table."""
    return sorted({method for method, _ in runs}, key=METHODS.index)


def table(runs: Runs) -> str:
    """Markdown table, a row for each method: mean and sample deviation over its seeds."""
    columns, rows = shown(runs), []
    for method in ordered(runs):
        seeds = " ".join(str(seed) for name, seed in sorted(runs) if name == method)
        found = [(values(runs, method, column), column.digits) for column in columns]
        cells = [_spread(numbers, digits) for numbers, digits in found]
        encoders = {encoder_of(run.folder) for (name, _), run in runs.items() if name == method}
        rows.append([method, seeds, *cells, " or ".join(sorted(encoders))])
    return markdown(["method", "seeds", *(column.name for column in columns), "encoder"], rows)


def mixed(runs: Runs) -> list[str]:
    """Name methods whose seeds were run with different settings."""
    said = []
    for method in ordered(runs):
        keys = differing([run.folder for (name, _), run in runs.items() if name == method])
        if keys:
            said.append(f"{method}: its seeds differ in {', '.join(keys)}")
    return said


def _spread(numbers: Sequence[float], digits: int) -> str:
    """Mean and deviation, without the deviation of numbers that are equal by design."""
    if not numbers:
        return ""
    return (
        f"{numbers[0]:.0f}" if digits == 0 and len(set(numbers)) == 1 else spread(numbers, digits)
    )


def report(dataset: str, runs: Runs, results: Path, head: str, about: str) -> None:
    """Write the table, the CSV and the figure of a data set, with a sentence about its settings."""
    results.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join([about, table(runs), *mixed(runs)])
    (results / f"{dataset}.md").write_text(f"{head}\n\n{text}\n", "utf-8")
    records: dict[tuple[str, ...], JobRecord] = {
        (method, str(seed)): runs[method, seed].record
        for method, seed in sorted(runs, key=lambda what: (METHODS.index(what[0]), what[1]))
    }
    write_runs(results / f"{dataset}.csv", records, ("method", "seed"))
    methods = ordered(runs)
    scores = {
        column.name: [values(runs, method, column) for method in methods]
        for column in shown(runs)
        if column.name in DRAWN
    }
    figure = method_scores(methods, scores, dataset)
    figure.savefig(results / f"{dataset}.png", bbox_inches="tight", pad_inches=0.1)
    print(f"{dataset}\n\n{text}\n", flush=True)


def draw_traversals(dataset: str, runs: Runs, results: Path) -> None:
    """Copy a traversal of the first seed of each method that has states."""
    for method in ordered(runs):
        seed = min(seed for name, seed in runs if name == method)
        target = results / "traversals" / f"{dataset}_{method}.png"
        try:
            if not copy_traversal(runs[method, seed].folder, target):
                print(f"{dataset}, {method}: no traversal, since it decodes no state")
        except (OSError, ValueError) as error:  # of a checkpoint of an earlier version, say
            print(f"{dataset}, {method}: no traversal: {error}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train missing runs, and write the tables and figures."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = options(__doc__, RUNS, RESULTS)
    parser.add_argument("--profile", choices=list(PROFILES), default="quick")
    parser.add_argument("--datasets", nargs="+", choices=list(DATASETS), help="not the profile's")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=["equal"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    cores = os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=cores, help=f"runs at a time ({cores}: cores)")
    parser.add_argument(
        "--made-before", type=Path, nargs="+", default=[], help="other folders of run folders"
    )
    parser.add_argument("--collect", action="store_true", help="run nothing, report what is there")
    parser.add_argument("--no-traversals", action="store_true", help="tables only")
    chosen = parser.parse_args(given)
    together = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={chosen.jobs}"]
    launcher = together if chosen.jobs > 1 else []
    missing = total = 0
    for dataset, settings in product(
        chosen.datasets or PROFILES[chosen.profile], dict.fromkeys(chosen.settings)
    ):
        asked = jobs(dataset, chosen.methods, chosen.seeds, chosen.overrides, settings)
        root, wanted = chosen.runs / dataset, list(asked.values())
        if chosen.collect:
            done = collect(wanted, root, chosen.made_before)
        else:
            done = complete(wanted, root, launcher, chosen.made_before)
        runs = {what: done[job] for what, job in asked.items() if job in done}
        missing, total = missing + len(asked) - len(runs), total + len(asked)
        if runs:
            head = headline("mixture_table", given, [run.record for run in runs.values()])
            _, ending, about = SETTINGS[settings]
            report(f"{dataset}{ending}", runs, chosen.results, head, about)
            if not chosen.no_traversals:
                draw_traversals(f"{dataset}{ending}", runs, chosen.results)
    return exit_status(total - missing, total)


if __name__ == "__main__":
    sys.exit(main())
