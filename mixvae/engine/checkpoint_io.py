"""Reads and writes checkpoints: written whole or not at all, read without running their code."""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from mixvae.contracts import DataSpec, MultimodalSpec
from mixvae.files import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the file and renames; Lightning's own moves from another folder, in pieces."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a checkpoint so that a stop at any moment leaves the old one or the new one."""
        try:
            with replacing(Path(path)) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        # PyTorch raises an error of its own on a full disk.
        except (OSError, RuntimeError) as error:
            cause = error if isinstance(error, OSError) else error.__context__
            reason = cause.strerror if isinstance(cause, OSError) else str(error).splitlines()[0]
            raise OSError(
                f"checkpoint {path} cannot be written: {reason}; the one before it is kept, if any,"
                " and resume=... goes on from there"
            ) from error

    def load_checkpoint(
        self,
        path: str | os.PathLike[str],
        map_location: Any = "cpu",
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a checkpoint, see `load_checkpoint`; whatever is asked, no code in it is run."""
        return load_checkpoint(Path(path))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU without running any code in it."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        with warnings.catch_warnings():
            # PyTorch warns of a pickle protocol that it does not write, before it says the rest.
            warnings.simplefilter("ignore")
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    # Of a file that is no checkpoint, PyTorch's reader may fail in any way, IndexError included.
    except Exception as error:
        if _names_code(path, error):
            raise ValueError(
                f"checkpoint {path} names code that reading it would run, and was not loaded;"
                " a checkpoint of mixvae holds tensors and plain values only"
            ) from error
        raise ValueError(
            f"checkpoint {path} is damaged or truncated, or no checkpoint at all"
        ) from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"{path} is no checkpoint of a model: it holds no state_dict")
    return checkpoint


def check_fits(
    checkpoint: dict[str, Any],
    model: torch.nn.Module,
    path: Path,
    spec: DataSpec | MultimodalSpec | None = None,
) -> None:
    """Refuse the checkpoint of another model; the message names the data in `spec`."""
    saved, own = checkpoint["state_dict"], model.state_dict()
    problems = [f"{name} is missing" for name in own.keys() - saved.keys()]
    problems += [f"{name} is unknown" for name in saved.keys() - own.keys()]
    reshaped = [
        f"{name} has shape {tuple(saved[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own.keys() & saved.keys()
        if saved[name].shape != own[name].shape
    ]
    # The same weights in other sizes: probably other data, not another model.
    data = f". {_sizes(spec)}" if spec is not None and reshaped and not problems else ""
    problems += reshaped
    if problems:
        raise ValueError(
            f"checkpoint {path} is of another model: {sorted(problems)[0]}"
            + (f", and {len(problems) - 1} more" if len(problems) > 1 else "")
            + data
        )


def _sizes(spec: DataSpec | MultimodalSpec) -> str:
    if isinstance(spec, MultimodalSpec):
        told = ", ".join(f"{item.name} {item.shape}" for item in spec.modalities)
    else:
        told = str(spec.shape)
    return (
        f"The data {spec.name} have samples of the shape {told}: is that of the data that it was"
        " trained on, such as the number of features or neurons?"
    )


def _names_code(path: Path, error: Exception) -> bool:
    """Whether PyTorch stopped at a name of code, or at a bare pickle, which can hold any."""
    if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
        return True
    with path.open("rb") as file:
        return file.read(1) == pickle.PROTO
