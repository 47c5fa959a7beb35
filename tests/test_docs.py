"""The snippets of docs/python.md run as the cells of a notebook; the commands of docs/images.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mixvae
from mixvae.train import main
from tests.api.conftest import IMAGES, images

DOCS = Path(__file__).parents[1] / "docs"
SHRUNK = [line for line in IMAGES if line != "~callbacks.figures"]


def blocks(page: str, kind: str = "") -> list[str]:
    return re.findall(
        rf"^```{kind}\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    x, y = images(200)
    np.save("images.npy", x)
    np.save("labels.npy", y)
    Path("photos").mkdir()
    for number, image in enumerate(x[:40]):
        Image.fromarray(image).save(f"photos/{number}.png")
    return tmp_path


def test_the_cells_of_the_python_page_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = mixvae.train

    def shrunk(experiment: str, *overrides: str, **data: Any) -> mixvae.Run:
        return train(experiment, *overrides, *SHRUNK, **data)

    monkeypatch.setattr(mixvae, "train", shrunk)
    names: dict[str, Any] = {}
    cells = blocks("python.md", "python")
    assert len(cells) == 3
    for cell in cells:
        exec(cell, names)  # noqa: S102
    assert names["run"].summary["epochs"] == 3
    assert names["embedding"].category.shape == (200,)
    assert (names["run"].folder / "evaluations" / "first_hundred").is_dir()


def test_the_commands_of_the_images_page_run(folder: Path) -> None:
    (block,) = blocks("images.md")
    for number, line in enumerate(block.splitlines()):
        program, _, module, *arguments = shlex.split(line)
        assert (program, module) == ("python", "mixvae.train")
        assert main([*arguments, *SHRUNK, "logger=csv", f"run_dir=run{number}"]) == 0


def test_the_readme_links_every_page() -> None:
    readme = (DOCS.parent / "README.md").read_text()
    assert {path.name for path in DOCS.glob("*.md")} <= set(re.findall(r"docs/([\w.]+)", readme))
