"""Batches and further covariates of cells, columns of obs, as numbers for a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixvae.contracts import Covariate
from mixvae.data.base import find_state
from mixvae.data.cells.genes import shown
from mixvae.data.cells.source import CellSource
from mixvae.messages import warn
from mixvae.suggestions import suggestion

AVERAGE = "average"
FEWEST = 2  # training cells of a batch: one says nothing of an effect


@dataclass(frozen=True)
class Column:
    """A column of obs as a model sees it.

    Attributes:
        names: Its values, each a column of 0 and 1; empty for a number.
        centre: Mean over the training cells, of a number.
        scale: Deviation over them.
    """

    key: str
    names: tuple[str, ...] = ()
    centre: float = 0.0
    scale: float = 1.0

    def encode(self, source: CellSource, setting: str) -> NDArray[np.float32]:
        """Values of all cells, shape (N, number of names or 1)."""
        if not self.names:
            values = (_numbers(source, self.key, setting) - self.centre) / self.scale
            return values[:, None].astype(np.float32)
        words = _complete(source, self.key, setting)
        unknown = sorted(set(words) - set(self.names))
        if unknown:
            raise ValueError(
                f"{setting} {self.key!r} of {source.name} has {unknown[0]!r}, which the run does"
                f" not know; it knows {', '.join(self.names)}; annotate with batch={AVERAGE} to"
                " take the average over the run's, or batch=NAME to take one of them for all cells"
            )
        number = {name: place for place, name in enumerate(self.names)}
        return np.eye(len(self.names), dtype=np.float32)[[number[word] for word in words]]


@dataclass(frozen=True)
class CellCovariates:
    """The covariates of a run, the batch first, and the means of their columns in training."""

    columns: tuple[Column, ...] = ()
    has_batch: bool = False
    means: tuple[float, ...] = ()

    @classmethod
    def fit(
        cls,
        source: CellSource,
        batch_key: str | None,
        keys: Sequence[str],
        rows: NDArray[np.int64],
    ) -> tuple[CellCovariates, NDArray[np.float32] | None]:
        """Find the values of the columns, and return those of all cells, (N, V); None without.

        Args:
            rows: Training cells, of which each batch needs some.
        """
        columns = []
        if batch_key is not None:
            words = _complete(source, batch_key, "batch_key")
            _check_classes(words, rows, f"batch_key is {batch_key!r}")
            if len(set(words)) > 1:
                columns.append(Column(batch_key, tuple(sorted(set(words)))))
            else:
                warn(f"batch_key is {batch_key!r}, but all cells are of {words[0]!r}: no effect")
        has_batch = bool(columns)
        twice = [key for key, count in Counter([batch_key, *keys]).items() if count > 1]
        if twice:
            raise ValueError(f"data.covariates names {twice[0]!r}, which is named already")
        columns += [_column(source, key, rows) for key in keys]
        if not columns:
            return cls(), None
        found = cls(tuple(columns), has_batch)
        values = found.encode(source)
        means = values[rows].mean(axis=0, dtype=np.float64)
        return cls(found.columns, has_batch, tuple(means.tolist())), values

    @property
    def names(self) -> tuple[Covariate, ...]:
        """Each column of the values, for a model."""
        names = [
            (f"{column.key}={name}" if name else column.key, number == 0 and self.has_batch)
            for number, column in enumerate(self.columns)
            for name in column.names or ("",)
        ]
        pairs = zip(names, self.means, strict=True)
        return tuple(Covariate(name, mean, batch) for (name, batch), mean in pairs)

    def encode(self, source: CellSource, batch: str | None = None) -> NDArray[np.float32]:
        """Values of all cells of a source, shape (N, V).

        Args:
            batch: `average` takes the training means of all covariates; a batch takes that one for
                all cells; None reads the column.
        """
        size = len(source.cells)
        if batch == AVERAGE:
            return np.tile(np.array(self.means, dtype=np.float32), (size, 1))
        parts = []
        for number, column in enumerate(self.columns):
            is_batch = number == 0 and self.has_batch
            if is_batch and batch is not None:
                if batch not in column.names:
                    near = suggestion(batch, [*column.names, AVERAGE])
                    raise ValueError(f"batch is {batch!r}, which the run does not know{near}")
                chosen = np.eye(len(column.names), dtype=np.float32)[column.names.index(batch)]
                parts.append(np.tile(chosen, (size, 1)))
                continue
            if self.means and not source.has(column.key):
                among = f" (or batch=NAME, one of {', '.join(column.names)})" if is_batch else ""
                raise ValueError(
                    f"the run takes out the effect of the column {column.key!r} of obs, which"
                    f" {source.name} lacks; add it, or annotate with batch={AVERAGE}{among}"
                )
            parts.append(column.encode(source, "batch_key" if is_batch else "the covariate"))
        return np.concatenate(parts, axis=1)

    def as_plain(self) -> dict[str, Any]:
        """Plain values, as a checkpoint may hold."""
        columns = [
            {"key": one.key, "names": list(one.names), "centre": one.centre, "scale": one.scale}
            for one in self.columns
        ]
        return {"columns": columns, "has_batch": self.has_batch, "means": list(self.means)}

    @classmethod
    def find(cls, checkpoint: Mapping[str, Any]) -> CellCovariates:
        """Find them in a checkpoint as Lightning writes it; empty in one without."""
        return cls.from_plain((find_state(checkpoint, ("covariates",)) or {}).get("covariates", {}))

    @classmethod
    def from_plain(cls, state: Mapping[str, Any]) -> CellCovariates:
        """Take back `as_plain`; a run without covariates has an empty one."""
        columns = tuple(
            Column(one["key"], tuple(one["names"]), one["centre"], one["scale"])
            for one in state.get("columns", ())
        )
        return cls(columns, state.get("has_batch", False), tuple(state.get("means", ())))


def _complete(source: CellSource, key: str, setting: str) -> list[str]:
    words = source.words(key, setting)
    missing = sum(word is None for word in words)
    if missing:
        raise ValueError(
            f"{setting} is {key!r}, but {missing} of {len(words)} cells have no value there; give"
            " them one, such as 'unknown', or leave them out"
        )
    return [str(word) for word in words]


def _numbers(source: CellSource, key: str, setting: str) -> NDArray[np.float64]:
    """A column of numbers, all finite."""
    words = _complete(source, key, setting)
    try:
        numbers = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise ValueError(
            f"{setting} {key!r} holds words in {source.name}, but numbers in the run"
        ) from error
    if not np.isfinite(numbers).all():
        raise ValueError(f"{setting} is {key!r}, which holds infinite values")
    return numbers


def _column(source: CellSource, key: str, rows: NDArray[np.int64]) -> Column:
    """A further covariate: numbers as such, anything else as classes."""
    words = _complete(source, key, "data.covariates")
    if np.asarray(source.column(key)).dtype.kind in "iuf":
        values = _numbers(source, key, "data.covariates")[rows]
        if values.std() > 0:
            return Column(key, centre=float(values.mean()), scale=float(values.std()))
    elif len(set(words)) > 1:
        _check_classes(words, rows, f"data.covariates names {key!r}")
        return Column(key, tuple(sorted(set(words))))
    raise ValueError(f"data.covariates names {key!r}, which is the same in all training cells")


def _check_classes(words: Sequence[str], rows: NDArray[np.int64], told: str) -> None:
    count = Counter(words[row] for row in rows.tolist())
    few = [word for word in sorted(set(words)) if count[word] < FEWEST]
    if few:
        raise ValueError(
            f"{told}, but {len(few)} of its {len(set(words))} values have fewer than {FEWEST}"
            f" training cells, too few to estimate their effect: {shown(few)}; join them with"
            " others, leave out their cells, or name a column of fewer values"
        )
