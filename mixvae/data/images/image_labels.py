"""Labels of images: of a file beside them, in their order or by the names of their files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixvae.data.files.given import is_given
from mixvae.data.files.idx import is_idx, read_idx
from mixvae.data.files.labels import check_labels, read_label_rows
from mixvae.data.files.table_lines import DELIMITERS
from mixvae.data.files.tables import LABEL_NAMES, read_table
from mixvae.messages import warn

LABEL_COLUMNS = LABEL_NAMES | {"category"}


class Images(NamedTuple):
    """The images of one split.

    Attributes:
        pixels: Shape (N, C, H, W), as they are stored.
        labels: Whole numbers or texts, shape (N,); None for none.
        files: Where each is a file of its own: its path.
    """

    pixels: NDArray[Any]
    labels: NDArray[Any] | None
    name: str
    files: tuple[Path, ...] = ()


def read_image_labels(name: str, images: Images) -> NDArray[Any]:
    """Read the labels of a file: by the names or numbers of the images, if it has a column of them.

    Otherwise they are in the order of the images.
    """
    path, size = Path(name).expanduser(), len(images.pixels)
    if not is_given(name) and is_idx(path):
        check_file(path)
        return read_idx(path)
    is_table = path.suffix in DELIMITERS and path.is_file()
    rows = read_table(path, "", numeric=False).cells if is_table else []
    names = [file.name for file in images.files]
    for known in (names, [file.stem for file in images.files]):
        if (found := _by_name(path, rows, known)) is not None:
            return found
    counted = ([str(first + row) for row in range(size)] for first in (0, 1))
    by_number = (_by_name(path, rows, known) for known in counted)
    values = next((found for found in by_number if found is not None), None)
    if values is None:
        values = read_label_rows(name, size).values
        check_labels(name, values, size)
    if names != sorted(names, key=_counted):
        warn(
            f"{name} names no files, so its labels are taken to be those of the pictures in the"
            f" order {', '.join(names[:4])}, ...; a .csv with a column of file names is surer"
        )
    return values


def idx_labels(images: Path) -> NDArray[Any] | None:
    """Labels that lie beside an IDX file of images, as MNIST's do."""
    stem = images.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    for name in (stem, f"{stem}.gz"):
        path = images.with_name(name)
        if name != images.name and path.is_file():
            return read_idx(path)
    return None


def check_file(path: Path) -> None:
    """Refuse the path of a file that is missing."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path} (asked for from {Path.cwd()})")


def _by_name(path: Path, rows: list[list[str]], names: Sequence[str]) -> NDArray[np.str_] | None:
    """Labels of a table's rows in the order of these names, empty where it lacks one.

    None if no column has half of the names, each once. Of numbers all are needed, as some tables
    count from 0 and others from 1.
    """
    least = len(names) if all(name.isdigit() for name in names) else (len(names) + 1) // 2
    for column in range(len(rows[0]) if rows and len(rows[0]) > 1 else 0):
        row = {Path(fields[column]).name: fields for fields in rows}
        if len(row) < len(rows) or sum(name in row for name in names) < max(1, least):
            continue
        header = [] if Path(rows[0][column]).name in names else rows[0]
        place = _label_column(path, header, column, len(rows[0]))
        return np.array([row[name][place] if name in row else "" for name in names], dtype=str)
    return None


def _label_column(path: Path, header: Sequence[str], names: int, size: int) -> int:
    """Number of the column of labels, beside that of names."""
    others = [column for column in range(size) if column != names]
    if len(others) > 1 and header:
        others = [n for n in others if header[n].lower() in LABEL_COLUMNS] or others
    if len(others) > 1:
        raise ValueError(
            f"{path} has the columns {', '.join(header) or size}; name that of the labels `label`,"
            " or leave out all but names and labels"
        )
    return others[0]


def _counted(name: str) -> list[tuple[int, str]]:
    """A name by which 10 comes after 9."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", name)]
