"""The figures of a run, which a notebook shows."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path


class Picture:
    """A PNG file, which a notebook shows."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"Picture({str(self.path)!r})"

    def _repr_png_(self) -> bytes:
        return self.path.read_bytes()


class Figures(Mapping[str, Picture]):
    """The figures of a run by name; files are read when they are shown.

    A notebook shows all of them, or one: `run.figures["learning_curves"]`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> Picture:
        path = self.folder / f"{name}.png"
        if not path.is_file():
            raise KeyError(f"{name}; the figures are {', '.join(self) or 'none'}")
        return Picture(path)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(path.stem for path in self.folder.glob("*.png")))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Figures of {self.folder}: {', '.join(self) or 'none'}"

    def _repr_html_(self) -> str:
        return "\n".join(
            f"<figure><figcaption>{escape(name)}</figcaption>"
            f'<img alt="{escape(name)}" style="max-width: 100%" src="data:image/png;base64,'
            f'{base64.b64encode(picture.path.read_bytes()).decode()}"/></figure>'
            for name, picture in self.items()
        )
