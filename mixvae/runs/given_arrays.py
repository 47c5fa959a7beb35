"""Arrays as users hold them: numpy, PyTorch, pandas, lists; and results of the same type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


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
        values = original
        if isinstance(original, torch.Tensor):
            values = original.detach().cpu().numpy()
        elif hasattr(original, "toarray"):
            values = original.toarray()
        elif hasattr(original, "to_numpy"):
            values = original.to_numpy()
        try:
            values = np.asarray(values)
        except ValueError as error:
            raise ValueError(f"{name} is no array: its rows differ in length") from error
        if values.dtype == object:
            values = _from_objects(name, values)
        if values.dtype.kind == "S":
            values = values.astype(str)
        if values.dtype.kind not in "buifU":
            raise ValueError(f"{name} holds {values.dtype}, not numbers or texts")
        return cls(values, original)

    def restored(self, filled: NDArray[Any]) -> Any:
        """Imputed values, shape (N, *shape), as the type that was given."""
        original = self.original
        if isinstance(original, torch.Tensor):
            return torch.from_numpy(filled).to(original.device)
        if isinstance(original, list | tuple):
            return type(original)(filled.tolist())
        if hasattr(original, "columns") and hasattr(original, "index"):
            frame = original.copy()
            for place, column in enumerate(frame.columns):
                frame[column] = filled[:, place].astype(original.dtypes.iloc[place], copy=False)
            return frame
        return filled


def _from_objects(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Numbers or texts of an array of objects; None is missing."""
    flat = values.ravel().tolist()
    if any(isinstance(one, str) for one in flat):
        texts = ["" if one is None or one != one else str(one) for one in flat]
        return np.array(texts, dtype=str).reshape(values.shape)
    try:
        numbers = [float("nan") if one is None else float(one) for one in flat]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} holds objects that are neither numbers nor texts") from error
    return np.array(numbers).reshape(values.shape)


def check_same_index(arrays: Mapping[str, Any]) -> None:
    """Refuse data frames whose rows have other names, or the same in another order."""
    named = {name: one.index for name, one in arrays.items() if hasattr(one, "columns")}
    first = next(iter(named.items()), None)
    for name, index in named.items():
        assert first is not None
        if not index.equals(first[1]):
            raise ValueError(
                f"the data frames {first[0]} and {name} have different row names, or another order"
                " of them; row i of each must be event i: use reindex"
            )
