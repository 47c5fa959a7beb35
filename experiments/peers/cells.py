"""scvi-tools' SCVI and `cells_cpl` of one agent: epochs, and the latents of all cells."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

import mixvae
from experiments.bench.measuring import Case, Run, Spent
from experiments.bench.training_loop import AROUND, Clock, Job, parts_of, trained
from experiments.many_cells import write_many
from mixvae.cli.run_requests import AnnotateOptions
from mixvae.runs.annotating import open_annotator
from mixvae.runs.build import quieten_lightning

CELLS, GENES = 10_000, 2_000
TRAINING = 0.72  # of the cells: what ours leaves of them to training by default
EPOCHS = 3  # that are measured
LATENTS = 1024  # cells of a batch of inference
SEED = 0


def cases(folder: Path) -> Iterator[Case]:
    """Epochs at two batch sizes, and the inference of all cells; writes into a folder."""
    for batch_size in (128, 512):
        axes = {"A": 1, "B": batch_size}
        name = f"an epoch, A 1, B {batch_size}"
        build = partial(_epochs, folder, batch_size)
        yield Case("scvi", name, axes, round(TRAINING * CELLS), build, trains=False)
    axes = {"A": 1, "B": LATENTS}
    name = f"latents, A 1, B {LATENTS:,}"
    yield Case("scvi", name, axes, CELLS, partial(_latents, folder), trains=False)


def _cells(folder: Path) -> tuple[Path, Any]:
    import anndata

    path = folder / "cells.h5ad"
    if not path.exists():
        write_many(path, CELLS, GENES, SEED)
    return path, anndata.read_h5ad(path)


def _overrides(path: Path, batch_size: int) -> tuple[str, ...]:
    seldom = ("trainer.check_val_every_n_epoch", "callbacks.checkpoints.every_n_epochs")
    return (
        *(
            "+experiment=cells_cpl",
            "likelihood=negative_binomial",
            "callbacks=default",
            "model.num_agents=1",
        ),
        *(f"data.path={path}", "data.counts_layer=X", f"data.batch_size={batch_size}"),
        *(f"{key}={EPOCHS + AROUND}" for key in seldom),
    )


def _scvi(cells: Any) -> Any:
    import scvi  # type: ignore[import-not-found, unused-ignore]

    quieten_lightning()
    scvi.settings.seed = SEED
    scvi.model.SCVI.setup_anndata(cells)
    return scvi.model.SCVI(cells, gene_likelihood="nb")


def _train(model: Any, batch_size: int, epochs: int, **options: Any) -> None:
    model.train(
        max_epochs=epochs,
        batch_size=batch_size,
        train_size=TRAINING,
        validation_size=0.08,
        accelerator="cpu",
        enable_progress_bar=False,
        **options,
    )


def _epochs(folder: Path, batch_size: int, device: torch.device) -> dict[str, Run]:
    """Seconds of an epoch of each trainer, without validations."""
    path, cells = _cells(folder)

    def theirs() -> Spent:
        clock = Clock(EPOCHS, device)
        _train(_scvi(cells), batch_size, EPOCHS + AROUND, callbacks=[clock])
        return clock.spent

    def ours() -> Spent:
        job = Job("cells", _overrides(path, batch_size), EPOCHS)
        with tempfile.TemporaryDirectory(dir=folder) as run:
            return trained(parts_of(job, run, device), EPOCHS, device)

    return {"SCVI": theirs, "mixvae": ours}


def _latents(folder: Path, device: torch.device) -> dict[str, Run]:
    """The latents of all cells in memory, of models that trained for an epoch."""
    path, cells = _cells(folder)
    model = _scvi(cells)
    _train(model, 512, 1)
    words = (*_overrides(path, 512), f"run_dir={folder / 'run'}", "callbacks.figures=null")
    mixvae.train(None, *words, "trainer.max_epochs=1", "trainer.enable_progress_bar=false")
    options = AnnotateOptions(run=folder / "run", batch_size=LATENTS)
    annotator = open_annotator(options)
    return {
        "SCVI": partial(model.get_latent_representation, batch_size=LATENTS),
        "mixvae": lambda: annotator.annotate(cells, options),
    }
