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
from mixvae.cli.compose import change
from mixvae.cli.config_file import close, resolved
from mixvae.cli.constructors import check_constructors
from mixvae.cli.run_requests import EvaluateRequest
from mixvae.engine.checkpoint_io import check_fits
from mixvae.engine.randomness import seed_run
from mixvae.files import write_json
from mixvae.messages import warn
from mixvae.runs.build import build_model, build_trainer
from mixvae.runs.closing import tell_figures
from mixvae.runs.opening import TrainedRun, choose_checkpoint, open_trained
from mixvae.runs.recording import listening, shown, tell_tested_split
from mixvae.runs.reviewing import write_review
from mixvae.runs.trainer_settings import step_aside, untestable

# Trainer settings that change no result: the machine and the progress bar.
MACHINE = re.compile(r"trainer(\.(accelerator|devices|enable_progress_bar))?=.*")


def evaluate(request: EvaluateRequest) -> dict[str, float]:
    """Rebuild a run from its folder and test it.

    On the run's own data and checkpoint, its predictions and figures are replaced in place. Other
    results go to `evaluations/<name>` inside the run folder.
    """
    run = open_trained(request)
    run.folder.check_writable()
    cfg = close(change(run.cfg, request.overrides))
    _warn_of_kept_modalities(run.cfg, cfg)
    name = _results_name(run, request)
    target = run.folder.path if name is None else run.folder.path / "evaluations" / name
    cfg.run_dir, cfg.logger = str(target), None
    # One process, even if several trained: each sample is tested and written once.
    cfg.trainer.devices, cfg.trainer.strategy = 1, "auto"
    cfg.trainer.pop("num_nodes", None)
    check_constructors(resolved(cfg))
    with run.folder.telling_origin():
        split, metrics = _test(run, cfg)
    _report(run, target, request, split, metrics)
    return metrics


def _test(run: TrainedRun, cfg: DictConfig) -> tuple[str, dict[str, float]]:
    """Return the split that was tested, and the metrics."""
    seed_run(cfg.seed, cfg.num_threads)
    content = run.content
    data = instantiate(cfg.data, _convert_="all")
    if hasattr(data, "go_by"):
        data.go_by(content)
    model = build_model(cfg, data)
    if lacking := untestable(model, data):
        raise ValueError(f"run {shown(run.folder.path)} cannot be tested: {lacking}")
    check_fits(content, model, run.checkpoint, getattr(data, "spec", None))
    trainer = build_trainer(cfg, logs=False)  # loggers would overwrite the run's records
    with listening([]):
        step_aside(trainer, model, data)
        tell_tested_split(data)
        trainer.test(model, datamodule=data, ckpt_path=str(run.checkpoint), verbose=False)
    metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
    return tested_split(data), metrics


def _warn_of_kept_modalities(own: DictConfig, cfg: DictConfig) -> None:
    """Warn if some modalities come from other files and some from the run's own."""
    files, given = own.data.get("modalities"), cfg.data.get("modalities")
    kept = [name for name in given or () if files and files.get(name) == given[name]]
    if given and 0 < len(kept) < len(given):
        warn(
            f"{', '.join(kept)} still come from the files that the run was trained on, and row i of"
            " each belongs to row i of the others; to leave a modality out, see mixvae.impute"
        )


def _results_name(run: TrainedRun, request: EvaluateRequest) -> str | None:
    """Return the name of the folder for other results than training's; None for the same."""
    changes = [line for line in request.overrides if not MACHINE.fullmatch(line.lstrip("+~"))]
    if run.checkpoint != choose_checkpoint(run.folder, run.cfg, None):
        changes.append(run.checkpoint.stem)
    name = request.name or ",".join(line.removeprefix("data=") for line in changes)
    if not name:
        return None
    return re.sub(r"[^\w.,=+-]", "_", name).strip(".") or "_"


def _report(
    run: TrainedRun,
    target: Path,
    request: EvaluateRequest,
    split: str,
    metrics: Mapping[str, float],
) -> None:
    path = target / "evaluation.json"
    tested = run.checkpoint_name
    made_of = {"checkpoint": tested, "tested_split": split, "overrides": request.overrides}
    write_json(path, {**made_of, **metrics})
    print(f"results        {shown(path)}")
    if "test/accuracy" in metrics:
        print(f"test/accuracy  {metrics['test/accuracy']:.4f}  ({tested})")
    tell_figures(target / "figures")
    summary = run.folder.read_summary()
    finished = target == run.folder.path and summary.get("status") == "finished"
    if finished:
        write_review(run.folder, metrics)
    if target == run.folder.path and run.folder.report.is_file():
        from mixvae.reports.page import write_run_report

        print(f"report         {shown(write_run_report(target))}")
    if finished:
        print(_compared(summary, metrics), flush=True)


def _compared(summary: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """Return whether the metrics are those of training."""
    known = {name: value for name, value in metrics.items() if name in summary}
    differing = [
        f"{name} {summary[name]} then, {value} now"
        for name, value in known.items()
        if summary[name] != (value if math.isfinite(value) else None)
    ]
    if not differing:
        return f"the same as in training: {len(known)} metrics, exactly"
    return "other than in training: " + "; ".join(differing)
