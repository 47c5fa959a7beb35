"""MMVM's figure 2: probe and coherence against reconstruction, a curve over beta for each method.

    python -m experiments.mmvm_figure2 --cells cite_cbmc_8617.h5ad
    python -m experiments.mmvm_figure2 --datasets glyphs --seeds 0
    python -m experiments.mmvm_figure2 --cells cite_cbmc_8617.h5ad --full --jobs 1

Each data set is a multirun (a second one for the autoencoders, which have no beta). The same
command goes on where it stopped; with more seeds, betas or methods it runs what is missing. Betas
are multiples of what `model.beta=auto` measures, the largest variance of a principal component in
nats, so that one grid serves data of unlike units. `PROFILE` is small enough for two cores;
`--full` trains as conf/experiment and the paper do, on a GPU. Each method's best beta is the one
with the best probe accuracy on validation events. A data set whose file is missing is skipped by
name.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from experiments import beta_curves
from experiments.modality_runs import METHODS, complete, grid
from experiments.reports import exit_status, headline, options
from mixvae.cli.command import Command
from mixvae.cli.compose import compose_jobs
from mixvae.data.fetch import data_root
from mixvae.data.images.mnist import FOLDER, OFFICIAL_FILES, find_file
from mixvae.modules.base import AbstractModule
from mixvae.modules.beta_scan import RELATIVE
from mixvae.runs.build import build

RUNS = Path("runs", "mmvm_figure2")
RESULTS = Path(__file__).parent / "results" / "figure2"
DATASETS = ("polymnist", "glyphs", "cite")
COMPARED = ("mmvm", "independent", "avg", "poe", "mopoe", "ae")
# A factor of 4 apart, of those that the scan tries; `--full` takes all of these.
MULTIPLES = RELATIVE[:8:2]
# The last weights are tested, so no epoch is validated.
ASIDE = (
    "trainer.check_val_every_n_epoch=1000",
    "callbacks.checkpoints=null",
    "callbacks.evaluation.generation=null",
)
NARROW = tuple(f"model.networks.image.{part}.width=16" for part in ("encoder", "decoder"))
FALLING = (
    "_target_: mixvae.objectives.schedules.Linear",
    "start: 1.0",
    "end: 0.05",
    "begin: 0",
    "length: 12",
)
PROFILE: dict[str, tuple[str, ...]] = {
    "polymnist": (
        *NARROW,
        "data.digit_side=28",
        "data.train_samples=40000",
        "data.test_samples=2000",
        "data.val_fraction=0.05",
        "data.batch_size=32",
        "data.epoch_steps=500",
        "trainer.max_epochs=12",
        "trainer.precision=auto",
        "bf16_tested=true",
        f"model.learning_rate={{{', '.join(FALLING)}}}",
    ),
    "glyphs": (
        *NARROW,
        *(f"model.networks.tokens.{part}.width=64" for part in ("encoder", "decoder")),
        "data.batch_size=32",
        "trainer.max_epochs=5",
    ),
    "cite": ("trainer.max_epochs=10",),
}
# The paper's networks and latents for PolyMNIST; the others as conf/experiment has them.
FULL: dict[str, tuple[str, ...]] = {
    "polymnist": (
        "networks=modality_residual",
        "model.latent_dim=512",
        "model.optimizer.lr=5e-4",
        "trainer.max_epochs=100",
    ),
    "glyphs": (),
    "cite": (),
}


def missing_file(dataset: str, cells: Path | None) -> str:
    """What a data set lacks; empty if nothing."""
    if dataset == "cite" and not (cells and cells.is_file()):
        return f"no file {cells}" if cells else "it needs --cells FILE.h5ad"
    folder = data_root(None) / FOLDER
    if dataset == "polymnist" and not all(find_file(folder, file) for file in OFFICIAL_FILES):
        return f"no MNIST in {folder}; set MIXVAE_DATA_DIR"
    return ""


def settings(
    dataset: str, cells: Path | None, given: Sequence[str] = (), *, full: bool
) -> list[str]:
    """The overrides of all runs of a data set; `given` win, so that each key stands once."""
    lines = ["trainer=gpu", *FULL[dataset]] if full else ["num_threads=1", *PROFILE[dataset]]
    file = [f"data.path={cells.absolute()}"] if dataset == "cite" and cells else []
    return list({line.partition("=")[0]: line for line in (*lines, *file, *ASIDE, *given)}.values())


def betas(dataset: str, extra: Sequence[str], multiples: Sequence[float]) -> list[float]:
    """The betas of a data set, two digits each: multiples of the unit of `model.beta=auto`."""
    one_step = ["data.epoch_steps=1", "trainer.max_epochs=1"]  # of the scan too
    lines = [f"+experiment={dataset}_mmvm", *extra, *one_step, "model.beta=auto"]
    cfg = compose_jobs(Command(lines))[0].cfg
    with tempfile.TemporaryDirectory() as folder:
        cfg.run_dir = folder
        model = build(cfg).model
    assert isinstance(model, AbstractModule)
    candidates = model.choices["model.beta"]["candidates"]
    return [float(f"{candidates[0] / RELATIVE[0] * factor:.2g}") for factor in multiples]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train missing runs, and write a table, a CSV and a figure for each data set."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = options(__doc__, RUNS, RESULTS)
    parser.set_defaults(seeds=[0])
    parser.add_argument("--full", action="store_true", help="long trainings, for a GPU")
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--cells", type=Path, help="CITE-seq: .h5ad with obsm/protein, obs/type")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(COMPARED))
    parser.add_argument("--multiples", type=float, nargs="+", help="a grid of your own")
    cores = os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=cores, help=f"runs at a time ({cores}: cores)")
    chosen = parser.parse_args(given)
    together = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={chosen.jobs}"]
    launcher = together if chosen.jobs > 1 else []
    lacking = {name: missing_file(name, chosen.cells) for name in chosen.datasets}
    for name, lack in lacking.items():
        if lack:
            print(f"{name} is skipped: {lack}", file=sys.stderr)
    done = total = 0
    for dataset in (name for name, lack in lacking.items() if not lack):
        extra = settings(dataset, chosen.cells, chosen.overrides, full=chosen.full)
        found = betas(dataset, extra, chosen.multiples or (RELATIVE if chosen.full else MULTIPLES))
        jobs = grid(chosen.methods, found, chosen.seeds, experiment=f"{dataset}_mmvm")
        records = complete(jobs, chosen.runs / dataset, extra, launcher)
        done, total = done + len(records), total + len(jobs)
        if records:
            head = headline("mmvm_figure2", given, records.values())
            text = beta_curves.write(records, chosen.results, dataset, head, ("seed",))
            print(f"{dataset}\n\n{text}\n", flush=True)
    return exit_status(done, total) or int(any(lacking.values()))


if __name__ == "__main__":
    sys.exit(main())
