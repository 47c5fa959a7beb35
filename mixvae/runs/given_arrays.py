"""Arrays as users hold them: numpy, PyTorch, pandas, lists; and results of the same type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mixvae.data.files.given import as_array


@dataclass(frozen=True)
class GivenArray:
    """One modality as given.

    Attributes:
        values: Its values as an array, shape (N, *shape): numbers, or texts, empty where missing.
        original: The object that the user gave.
    """

    values: NDArray[Any]
    original: Any

    @classmethod
    def of(cls, name: str, original: Any) -> GivenArray:
        """Read what a user gave; refuses what is no array."""
        values = as_array(original, f"the samples of {name}")
        return cls(values, original)

    def restored(self, filled: NDArray[Any]) -> Any:
        """Imputed values, shape (N, *shape), as the type that was given."""
        original = self.original
        if isinstance(original, torch.Tensor):
            return torch.from_numpy(filled).to(original.device, original.dtype)
        if isinstance(original, list | tuple):
            return type(original)(filled.tolist())
        if hasattr(original, "isetitem"):
            return self._frame(filled)
        if hasattr(original, "to_frame"):  # a series of texts
            series = type(original)(filled, index=original.index, name=original.name)
            return series.where(filled != "")
        return filled

    def _frame(self, filled: NDArray[Any]) -> Any:
        """A copy of the data frame, in which columns with missing values are replaced."""
        frame = self.original.copy()
        for place in np.flatnonzero((self.values != self.values).any(axis=0)):
            column = frame.iloc[:, place]
            new = type(column)(filled[:, place], index=frame.index)
            try:
                new = new.astype(column.dtype)
            except (TypeError, ValueError):  # imputed values are no whole numbers
                new = new.astype("Float64" if hasattr(column.dtype, "na_value") else float)
            frame.isetitem(place, new)
        return frame
