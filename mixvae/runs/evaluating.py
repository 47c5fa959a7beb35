"""Tests a run again from its folder, on its own data or on others."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from mixvae.callbacks.collecting import tested_split
from mixvae.cli.config_file import close, resolved
from mixvae.cli.constructors import check_constructors
from mixvae.cli.errors import UsageError
from mixvae.cli.overrides import apply_overrides
from mixvae.cli.request import Request
from mixvae.data.multimodal_base import AbstractMultimodalDataModule
from mixvae.engine.checkpoint_io import check_fits, load_checkpoint
from mixvae.engine.randomness import seed_run
from mixvae.files import write_json
from mixvae.messages import warn
from mixvae.runs.build import build_model, build_trainer, quieten_lightning
from mixvae.runs.folder import RunFolder
from mixvae.runs.recording import listening, shown, tell_tested_split
from mixvae.runs.resume import open_run

# What says where the work is done and not what comes of it.
WHERE = re.compile(r"trainer(\.(accelerator|devices|enable_progress_bar))?=.*")


def evaluate(request: Request) -> dict[str, float]:
    """Rebuild a run from its folder and test it.

    On the run's own data its predictions and figures are made again, in place. On other data, or
    with another checkpoint, everything goes to `evaluations/<name>` inside the run folder.

    Args:
        request: What to test, and on what.

    Returns:
        The test metrics.

    Raises:
        OSError: If there is no such folder or checkpoint.
        ValueError: If the folder is no run's, or data and model do not fit.
    """
    folder = RunFolder(request.run.expanduser().absolute())
    own = open_run(folder)
    cfg = close(apply_overrides(own, request.overrides))
    _tell_kept_modalities(own, cfg)
    tested = _choose_checkpoint(folder, None)
    checkpoint = _choose_checkpoint(folder, request.checkpoint)
    name = _folder_name(request, None if checkpoint == tested else request.checkpoint)
    target = folder.path if name is None else folder.path / "evaluations" / name
    # No loggers: they would write over the run's records.
    cfg.run_dir, cfg.logger = str(target), None
    # One process, also where several trained: each sample is looked at once and written once.
    cfg.trainer.devices, cfg.trainer.strategy = 1, "auto"
    cfg.trainer.pop("num_nodes", None)
    check_constructors(resolved(cfg), trusted_only=True)
    split, metrics = _test(cfg, checkpoint)
    _report(folder, target, checkpoint, request, split, metrics)
    return metrics


def _test(cfg: DictConfig, checkpoint: Path) -> tuple[str, dict[str, float]]:
    """Return the split that was tested, and the metrics."""
    quieten_lightning()
    seed_run(cfg.seed, cfg.num_threads)
    content = load_checkpoint(checkpoint)
    data = instantiate(cfg.data, _convert_="all")
    if isinstance(data, AbstractMultimodalDataModule):
        data.go_by(content)
    model = build_model(cfg, data)
    check_fits(content, model, checkpoint, data.spec)
    trainer = build_trainer(cfg)
    with listening([]):
        tell_tested_split(data)
        trainer.test(model, datamodule=data, ckpt_path=str(checkpoint), verbose=False)
    metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
    return tested_split(data), metrics


def _tell_kept_modalities(own: DictConfig, cfg: DictConfig) -> None:
    """Warn where some modalities have another file and the others still the run's own."""
    files, given = own.data.get("modalities"), cfg.data.get("modalities")
    kept = [name for name in given or () if files and files.get(name) == given[name]]
    if given and 0 < len(kept) < len(given):
        warn(
            f"{', '.join(kept)} still come from the files that the run was trained on, and row i of"
            " each belongs to row i of the others; to leave a modality out, see mixvae.impute"
        )


def _choose_checkpoint(folder: RunFolder, asked: str | None) -> Path:
    """Return the checkpoint asked for, or the one that training tested."""
    paths = folder.checkpoints
    if asked is not None:
        if asked not in paths:
            raise UsageError(f"checkpoint is {asked!r}; use best, last or selected")
        return paths[asked]
    tested = folder.read_summary().get("tested_checkpoint")
    named = {path.relative_to(folder.path).as_posix(): path for path in paths.values()}
    if tested in named:
        return named[str(tested)]
    return paths["best"] if paths["best"].is_file() else paths["last"]


def _folder_name(request: Request, checkpoint: str | None) -> str | None:
    """Return the name of the folder for results that are not training's own; None for those."""
    changes = [line for line in request.overrides if not WHERE.fullmatch(line.lstrip("+~"))]
    if checkpoint is not None:
        changes.append(checkpoint)
    name = request.name or ",".join(line.removeprefix("data=") for line in changes)
    if not name:
        return None
    plain = re.sub(r"[^\w.,=+-]", "_", name)
    return plain.strip(".") or "_"


def _report(
    folder: RunFolder,
    target: Path,
    checkpoint: Path,
    request: Request,
    split: str,
    metrics: Mapping[str, float],
) -> None:
    path = target / "evaluation.json"
    tested = checkpoint.relative_to(folder.path).as_posix()
    made_of = {"checkpoint": tested, "tested_split": split, "overrides": request.overrides}
    write_json(path, {**made_of, **metrics})
    print(f"results        {shown(path)}")
    if "test/accuracy" in metrics:
        print(f"test/accuracy  {metrics['test/accuracy']:.4f}  ({tested})")
    for picture in sorted((target / "figures").glob("*.png")):
        print(f"picture        {shown(picture)}")
    summary = folder.read_summary()
    if target == folder.path and summary.get("status") == "finished":
        print(_compared(summary, metrics), flush=True)


def _compared(summary: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """Say whether the metrics are those of training."""
    known = {name: value for name, value in metrics.items() if name in summary}
    differing = [
        f"{name} {summary[name]} then, {value} now"
        for name, value in known.items()
        if summary[name] != (value if math.isfinite(value) else None)
    ]
    if not differing:
        return f"the same as in training: {len(known)} metrics, exactly"
    return "other than in training: " + "; ".join(differing)
