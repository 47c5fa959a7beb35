"""Reads the files of a run folder, whole or not, into one record; its verdict in a sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
import yaml
from numpy.typing import NDArray

from mixvae.files import KEYS, read_json, read_metrics

STATUS = {
    "running": "This run has not ended, or was killed.",
    "interrupted": "This run was interrupted.",
    "failed": "This run failed.",
    "pruned": "A search pruned this run.",
    "unknown": "The status of this run is unknown: it has no summary.",
}

Family = Literal["mixture", "modalities", "other"]


@dataclass(frozen=True)
class Record:
    """The contents of a run folder; a missing or unreadable file is empty.

    Attributes:
        curves: Epochs and values of each metric of metrics.csv.
        arrays: Arrays of predictions.npz.
        traversals: Arrays of traversals.npz.
        problems: One line for each file that could not be read.
    """

    folder: Path
    summary: dict[str, Any]
    provenance: dict[str, Any]
    order: dict[str, Any]
    review: dict[str, Any]
    config: dict[str, Any]
    curves: dict[str, tuple[list[int], list[float]]]
    arrays: dict[str, NDArray[Any]]
    traversals: dict[str, NDArray[Any]] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """`finished`, `running`, `interrupted`, `failed`, `pruned` or `unknown`."""
        return str(self.summary.get("status", "unknown"))

    @property
    def data(self) -> dict[str, Any]:
        """The config of the data."""
        found = self.config.get("data")
        return found if isinstance(found, dict) else {}

    @property
    def family(self) -> Family:
        """The kind of model, by the names of its metrics and predictions."""
        names = {*self.summary, *self.curves}
        if any(name.endswith("/consensus") for name in names) or "consensus" in self.arrays:
            return "mixture"
        if any("/coherence" in name or "/probe" in name for name in names) or any(
            name.endswith("/mean") for name in self.arrays
        ):
            return "modalities"
        return "other"

    def number(self, name: str) -> float | None:
        """A finite value of the summary, else None."""
        value = self.summary.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if math.isfinite(value) else None


def read_record(folder: Path) -> Record:
    """Read a run folder.

    Raises:
        ValueError: If the folder holds no run.
    """
    if not folder.is_dir():
        raise ValueError(f"run={folder} is not a folder")
    if not (folder / "config.yaml").is_file() and not (folder / "summary.json").is_file():
        raise ValueError(
            f"run={folder} is not a run folder: config.yaml and summary.json are missing, and it"
            " contains no run"
        )
    problems: list[str] = []
    return Record(
        folder=folder,
        summary=_json(folder / "summary.json", problems),
        provenance=_json(folder / "provenance.json", problems),
        order=_json(folder / "model_order.json", problems),
        review=_json(folder / "review.json", problems),
        config=_config(folder / "config.yaml", problems),
        curves=read_curves(folder / "metrics.csv", problems),
        arrays=_arrays(folder / "predictions.npz", problems),
        traversals=_arrays(folder / "traversals.npz", problems),
        overrides=_lines(folder / "overrides.txt", problems),
        problems=problems,
    )


def _json(path: Path, problems: list[str]) -> dict[str, Any]:
    content = read_json(path)
    if not content and path.is_file():
        problems.append(f"{path.name} cannot be read")
    return content


def _config(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError):
        problems.append(f"{path.name} cannot be read")
        return {}
    return content if isinstance(content, dict) else {}


def _lines(path: Path, problems: list[str]) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        problems.append(f"{path.name} cannot be read")
        return []


def read_curves(path: Path, problems: list[str]) -> dict[str, tuple[list[int], list[float]]]:
    """Epochs, from 1, and values of each metric of a metrics.csv; adds to the problems."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    try:
        for row in read_metrics(path):
            if any(name.startswith("test/") for name in row):
                continue  # of a test, which is no epoch of training
            epoch = int(float(row["epoch"])) + 1
            for name, cell in row.items():
                if name not in KEYS:
                    epochs, values = found.setdefault(name, ([], []))
                    epochs.append(epoch)
                    values.append(float(cell))
    except (OSError, ValueError):
        problems.append(f"{path.name} cannot be read")
    return found


def _arrays(path: Path, problems: list[str]) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, BadZipFile, EOFError):
        problems.append(f"{path.name} cannot be read")
        return {}


def verdict(record: Record) -> str:
    """Return what became of the run and its main results; labels count as measuring only."""
    words = [STATUS[record.status]] if record.status in STATUS else []
    accepted = record.review.get("verdict")
    if isinstance(accepted, str):
        words.append(f"Review: {accepted}.")
    if record.family == "mixture":
        words.append(_of_mixture(record))
    elif record.family == "modalities":
        words.append(_of_modalities(record))
    return " ".join(word for word in words if word) or "No result was measured."


def _of_mixture(record: Record) -> str:
    order, count = record.order.get("selected"), record.number("test/populated_categories")
    number = order if isinstance(order, int) else count
    parts = [] if number is None else [f"{number:.0f} categories"]
    consensus, accuracy = record.number("test/consensus"), record.number("test/accuracy")
    ari = record.number("test/ari")
    if consensus is not None:
        parts.append(f"the agents agree with a consensus of {consensus:.3f}")
    if accuracy is not None:
        parts.append(f"accuracy {accuracy:.3f} against the labels")
    if ari is not None:
        parts.append(f"ARI {ari:.3f}")
    return _sentence(parts)


def _of_modalities(record: Record) -> str:
    names = {
        "test/reconstruction": "reconstruction {:.4g} nats",
        "test/probe_accuracy": "probe accuracy {:.3f}",
        "test/coherence": "coherence {:.3f}",
    }
    values = {name: record.number(name) for name in names}
    return _sentence([names[n].format(v) for n, v in values.items() if v is not None])


def _sentence(parts: list[str]) -> str:
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "." if text else ""
