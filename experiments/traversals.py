"""Traversals of runs that were made without pictures: drawn from their checkpoints, once."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from mixvae.cli.run_requests import EvaluateRequest
from mixvae.runs.evaluating import evaluate

NAME = "pictures"
# What a run of many did without, see `multiruns.QUIET`.
CALLBACKS = {"figures": "figures.Figures", "predictions": "predictions.Predictions"}


def copy_traversal(run: Path, target: Path) -> bool:
    """Copy the traversal of the state that says most about the samples.

    Args:
        run: Folder of a finished run of a mixture model.
        target: The picture to write.

    Returns:
        False where the model has no state to move along; then nothing is written.
    """
    # A run that was made alone has its pictures already.
    drawn = (run / "predictions.npz").is_file() and (run / "figures").is_dir()
    folder = run if drawn else run / "evaluations" / NAME
    predictions = folder / "predictions.npz"
    if not predictions.is_file():
        evaluate(EvaluateRequest(run=run, name=NAME, overrides=_overrides()))
    with np.load(predictions, allow_pickle=False) as file:
        states = file["state_mean"][0]
    if states.shape[1] == 0:
        return False
    # Posterior means of a state that is not used stay at the prior's.
    picture = folder / "figures" / f"traversal_state{int(states.std(axis=0).argmax())}.png"
    if not picture.is_file():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(picture, target)
    return True


def _overrides() -> list[str]:
    return [
        f"callbacks.{name}={{_target_:mixvae.callbacks.{place},dirpath:${{run_dir}}}}"
        for name, place in CALLBACKS.items()
    ]
