"""Prints what a finished run found, where it lies, and the command that uses it."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from mixvae.cli.overrides import quoted
from mixvae.contracts import DataSpec, MultimodalSpec
from mixvae.data.cells.base import AbstractCellDataModule
from mixvae.data.files.given import is_given
from mixvae.engine.recorders import RunRecorder
from mixvae.files import read_json
from mixvae.runs.recording import Run, shown

# Metrics that are printed at the end, where they were measured.
HEADLINES = (
    *("test/accuracy", "test/consensus", "test/probe_accuracy", "test/coherence"),
    *("test/probe_ap", "test/coherence_ap"),  # of several labels for each event
    "test/loss",  # of a model that is not ours
)


def print_result(run: Run) -> None:
    """Print the headline metrics and the paths of the results."""
    print(f"run folder     {shown(run.folder.path)}")
    measured = [name for name in HEADLINES if name in run.metrics]
    for name in measured or ["test/reconstruction"]:  # nats, where no labels measure more
        if name in run.metrics:
            print(f"{name:<14} {run.metrics[name]:.4f}  ({run.tested or 'the last weights'})")
    if found := types_found(run):
        print(f"types found    {found}")
    if review := read_json(run.folder.review):
        because = "; ".join(map(str, review["reasons"]))
        print(f"review         {review['verdict']}" + (f": {because}" if because else ""))
    if run.folder.report.is_file():
        print(f"report         {shown(run.folder.report)}")
    tell_figures(run.folder.figures)
    for logger in run.parts.trainer.loggers:
        if isinstance(logger, RunRecorder) and logger.sync_folder is not None:
            place = shlex.quote(shown(logger.sync_folder))
            print(f"W&B            offline; to send it: wandb sync {place}")
    if advice := next_command(run):
        print(f"next           {advice}")
    sys.stdout.flush()


def types_found(run: Run) -> str:
    """Describe how many categories are in use; '' for a model without."""
    used, kept = (run.metrics.get(f"test/{name}_categories") for name in ("populated", "kept"))
    total = getattr(run.parts.model, "num_categories", None)
    if used is None or kept is None or total is None:
        return ""
    pruned = f", {total - kept:.0f} pruned or merged" if kept < total else ""
    return f"{used:.0f} of {total} categories are in use{pruned}"


def next_command(run: Run) -> str:
    """Return how to use the run, on other data where it takes some; '' for one without a `spec`."""
    folder = shlex.quote(f"run={shown(run.folder.path)}")
    spec = getattr(run.parts.data, "spec", None)
    if isinstance(spec, MultimodalSpec):
        return f"python -m mixvae.impute {folder} 'data.modalities={{NAME: FILE}}' out=imputed.npz"
    if not isinstance(spec, DataSpec):
        return ""
    if isinstance(run.parts.data, AbstractCellDataModule):
        own = run.cfg.data.get("path")
        several = own is not None and not isinstance(own, str)
        named = "CELLS.h5ad" if own is None or is_given(own) else own
        if several:
            plain = [one if re.fullmatch(r"[\w./-]+", one) else quoted(one) for one in own]
            named = f"[{','.join(plain)}]"
        path = shlex.quote(f"data.path={named}")
        if modality := run.cfg.data.get("modality"):
            path += f" {shlex.quote(f'data.modality={modality}')}"
        suffix = ".h5mu" if str(own).endswith(".h5mu") else ".h5ad"
        return f"python -m mixvae.annotate {folder} {path} out=annotated{'' if several else suffix}"
    if "path" in run.cfg.data:
        return f"python -m mixvae.evaluate {folder} data.path=OTHERS name=NAME"
    if len(spec.shape) == 3:  # images of a data set that reads no files of the user
        return "python -m mixvae.train +experiment=images_cpl data.path=YOUR_IMAGES"
    return f"in Python: mixvae.open_run({shown(run.folder.path)!r}).model, .metrics, .figures"


def tell_figures(folder: Path) -> None:
    """Print the folder of the figures and their number, if there are any."""
    if count := len(list(folder.glob("*.png"))):
        print(f"figures        {shown(folder)} ({count})")
