"""Starts a new run from the weights of an earlier one, or of a checkpoint."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from mixvae.engine.checkpoint_io import load_checkpoint
from mixvae.messages import inform, warn
from mixvae.runs.folder import RunFolder

NAMED = 3  # tensors that a message names; it counts the others


def read_weights(source: str) -> tuple[Path, dict[str, Any]]:
    """Return the file and the weights that `init_from` names.

    Args:
        source: A checkpoint, or a run folder, of which the tested, best or last one is taken.

    Raises:
        FileNotFoundError: If there is neither.
        ValueError: If the file is no checkpoint.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        folder = RunFolder(path.absolute())
        tested = folder.read_summary().get("tested_checkpoint")
        named = [] if tested is None else [folder.path / str(tested)]
        found = [file for file in (*named, *folder.checkpoints.values()) if file.is_file()]
        if not found:
            raise FileNotFoundError(f"init_from is {source}, a folder without a checkpoint")
        path = found[0]
    elif not path.is_file():
        raise FileNotFoundError(
            f"init_from is {source}, but there is no such checkpoint or run folder (asked for from"
            f" {Path.cwd()})"
        )
    return path, load_checkpoint(path)["state_dict"]


def start_from(model: torch.nn.Module, path: Path, weights: dict[str, Any]) -> None:
    """Load the tensors that both have by name, and log which ones, and which not.

    Raises:
        ValueError: If a tensor has another shape in the model, or no name fits.
    """
    own = model.state_dict()
    shared = [name for name in own if name in weights]
    for name in shared:
        if weights[name].shape != own[name].shape:
            raise ValueError(
                f"init_from {path}: {name} has the shape {tuple(weights[name].shape)}, in this run"
                f" {tuple(own[name].shape)}; use the same data, sizes and number of categories"
            )
    if not shared:
        raise ValueError(
            f"init_from {path} is of another model: it holds {_listed(weights)}, this run's has"
            f" {_listed(own)}"
        )
    model.load_state_dict({name: weights[name] for name in shared}, strict=False)
    inform(f"init_from {path}: {len(shared)} of {len(own)} tensors loaded")
    fresh = [name for name in own if name not in weights]
    unused = [name for name in weights if name not in own]
    if fresh:
        warn(f"init_from: {_listed(fresh)} start afresh, as the checkpoint lacks them")
    if unused:
        warn(f"init_from: {_listed(unused)} of the checkpoint have no place in this model")


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown
