"""The snippets of docs/python.md run in order, as the cells of a notebook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mixvae
from tests.api.conftest import IMAGES, images

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_cells_of_the_page_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = images(200)
    np.save("images.npy", x)
    np.save("labels.npy", y)
    train = mixvae.train

    def shrunk(experiment: str, *overrides: str, **data: Any) -> mixvae.Run:
        return train(experiment, *overrides, *IMAGES, **data)

    monkeypatch.setattr(mixvae, "train", shrunk)
    names: dict[str, Any] = {}
    cells = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(cells) == 3
    for cell in cells:
        exec(cell, names)  # noqa: S102
    assert names["run"].summary["epochs"] == 3
    assert names["embedding"].category.shape == (200,)
    assert (names["run"].folder / "evaluations" / "first_hundred").is_dir()
