"""Sources of images: folders of pictures, `.npy`, `.npz`, IDX files, arrays given from Python."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixvae.data.base import Split
from mixvae.data.files.arrays import UNREADABLE, read_array
from mixvae.data.files.given import as_labels, is_given
from mixvae.data.files.idx import is_idx, read_idx
from mixvae.data.images.image_arrays import Channels, channels_first, check_images, resized
from mixvae.data.images.image_labels import Images, check_file, idx_labels, read_image_labels
from mixvae.messages import inform, warn
from mixvae.suggestions import suggestion

PICTURES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp")
# Names of folders, IDX files and arrays of an .npz that mean a split.
SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test", "t10k": "test",
}  # fmt: skip
IMAGE_KEYS = ("images", "image", "x", "data", "imgs", "arr_0")
LABEL_KEYS = ("labels", "label", "y", "targets", "target", "classes", "arr_1")
Arrays = tuple[NDArray[Any], NDArray[Any] | None]
"""Images as they are stored, and their labels if the source has some."""
READABLE = "a folder of PNG or JPEG files, .npy, .npz or IDX"


class Layout(NamedTuple):
    """How images are brought into one shape.

    Attributes:
        channels: Where the channels lie; None guesses.
        size: (height, width) to resize to; None keeps the size.
    """

    channels: Channels | None = None
    size: tuple[int, int] | None = None

    def apply(self, array: NDArray[Any], name: str) -> NDArray[Any]:
        """Return images as (N, C, H, W) of the size, checked."""
        images = channels_first(array, self.channels, name)
        check_images(images, name)
        return images if self.size is None else resized(images, self.size)


def read_images(name: str, labels: str | None, layout: Layout) -> dict[Split, Images]:
    """Read images by the split that the source has them in; `train` alone where it has none.

    Args:
        name: A folder, a file, `file.npz:key`, or an object given from Python.
        labels: File of the labels of all images; None takes those that the source has.
    """
    path = Path(name).expanduser()
    found: dict[str, Arrays]
    if is_given(name):
        found = {"train": (read_array(name), None)}
    elif path.is_dir():
        return _with_labels(_read_folder(path, layout), labels)
    elif is_idx(path):
        check_file(path)
        found = {"train": (read_idx(path), idx_labels(path) if labels is None else None)}
    elif ".npz" in path.name and ":" not in path.name:
        check_file(path)
        found = _read_npz(path)
    elif path.name.partition(":")[0].endswith((".npy", ".npz")):
        found = {"train": (read_array(name), None)}
    elif path.exists():
        raise ValueError(
            f"{path} is not {READABLE}; the name of a file says what it is: NAME.npy, NAME.npz,"
            " NAME-idx3-ubyte or NAME-idx3-ubyte.gz"
        )
    else:
        raise FileNotFoundError(f"there is no file or folder {path} (asked for from {Path.cwd()})")
    shown = "the array" if is_given(name) else str(path)
    several = len(found) > 1
    images = {
        SPLIT_NAMES[split]: Images(
            layout.apply(array, f"{shown} ({split})" if several else shown),
            own,
            f"{shown} ({split})" if several else shown,
        )
        for split, (array, own) in found.items()
    }
    return _with_labels(images, labels)


def _with_labels(images: dict[Split, Images], labels: str | None) -> dict[Split, Images]:
    """Take labels from a file instead; each image must have one."""
    if labels is not None:
        if len(images) > 1:
            raise ValueError(
                f"data.labels names {labels}, but the source has its own splits"
                f" ({', '.join(images)}); leave data.labels out"
            )
        ((split, part),) = images.items()
        images = {split: part._replace(labels=read_image_labels(labels, part))}
    return {
        split: part
        if part.labels is None
        else part._replace(labels=as_labels(part.labels, len(part.pixels), f"{part.name}: labels"))
        for split, part in images.items()
    }


def _read_npz(path: Path) -> dict[str, Arrays]:
    """Read the arrays of an .npz by their names: images, labels, x_train, test_labels, ..."""
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no archive of arrays, or cut short")
        with np.load(path, allow_pickle=False) as content:
            keys = list(content.files)
            places = {key: _role(key) for key in keys}
            found: dict[str, dict[bool, NDArray[Any]]] = {}
            for key, role in places.items():
                if role is None:
                    continue
                if role[1] in found.setdefault(role[0], {}):
                    same = " and ".join(other for other in keys if places[other] == role)
                    raise ValueError(f"{same} may be the same; choose one: data.path={path}:{key}")
                found[role[0]][role[1]] = content[key]
            if len(keys) == 1 and not any(True in parts for parts in found.values()):
                found = {"train": {True: content[keys[0]]}}
    except UNREADABLE as error:
        hint = " (arrays of objects are not read)" if "ickle" in str(error) else ""
        raise ValueError(f"{path} cannot be read: {error}{hint}") from error
    result = {
        split: (parts[True], parts.get(False)) for split, parts in found.items() if True in parts
    }
    if "train" not in result:
        raise ValueError(
            f"{path} holds {', '.join(keys)}; name the images `images` or `x_train`, and their"
            f" labels `labels` or `y_train`, or choose an array: data.path={path}:{keys[0]}"
        )
    if unread := [key for key in keys if places[key] is None and len(keys) > 1]:
        inform(f"{path}: {', '.join(unread)} are not read; labels are data.labels={path}:KEY")
    return result


def _role(key: str) -> tuple[str, bool] | None:
    """Split of an array of an .npz, and whether it holds images; None if the name says nothing."""
    words = re.split(r"[_\W]+", key.lower())
    if key.lower() in IMAGE_KEYS or key.lower() in LABEL_KEYS:
        return "train", key.lower() in IMAGE_KEYS
    splits = [SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES]
    kinds = [word in IMAGE_KEYS for word in words if word in (*IMAGE_KEYS, *LABEL_KEYS)]
    return (splits[0], kinds[0]) if len(splits) == len(kinds) == 1 else None


def _read_folder(folder: Path, layout: Layout) -> dict[Split, Images]:
    """Read a folder of IDX files, of splits, of classes, or of pictures."""
    entries = _visible(folder)
    idx = [path for path in entries if is_idx(path) and "image" in path.name]
    if idx:
        found: dict[Split, Images] = {}
        for path in idx:
            words = re.split(r"[_\W]+", path.name.lower())
            named_splits: list[Split] = [SPLIT_NAMES[w] for w in words if w in SPLIT_NAMES]
            split = named_splits[0] if named_splits else "train"
            if split in found and f"{found[split].name}.gz" == str(path):
                continue  # plain and packed
            if split in found:
                raise ValueError(
                    f"{folder} holds several data sets: {Path(found[split].name).name} and"
                    f" {path.name}; name a file, data.path={path}, and data.test_path"
                )
            pixels = layout.apply(read_idx(path), str(path))
            found[split] = Images(pixels, idx_labels(path), str(path))
        return found
    folders = [path for path in entries if path.is_dir()]
    named = [path for path in folders if path.name.lower() in SPLIT_NAMES]
    splits = {SPLIT_NAMES[path.name.lower()]: path for path in named}
    if "train" in splits and (len(splits) > 1 or folders == named):
        other = [path for path in entries if path not in named and _holds_pictures(path)]
        if other:
            raise ValueError(
                f"{folder} holds pictures in {other[0].name} beside the splits"
                f" {', '.join(path.name for path in named)}; move them elsewhere"
            )
        return {split: _read_pictures(path, layout) for split, path in splits.items()}
    return {"train": _read_pictures(folder, layout)}


def _visible(folder: Path) -> list[Path]:
    """Entries of a folder that no program hides, such as a Mac or Jupyter does, by their names."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__")))


def _holds_pictures(path: Path) -> bool:
    """Whether it is a picture, or a folder with some at any depth."""
    if not path.is_dir():
        return path.suffix.lower() in PICTURES
    return any(map(_holds_pictures, _visible(path)))


def _read_pictures(folder: Path, layout: Layout) -> Images:
    """Read the pictures of a folder, in the order of their names, classes by their folders."""
    own = _pictures_in(folder)
    inside = [path for path in _visible(folder) if path.is_dir()]
    classes = [path for path in inside if _pictures_in(path)]
    deep = [path for each in inside for path in _visible(each) if path.is_dir()]
    deep = [path for path in deep if _holds_pictures(path)]
    if deep:
        raise ValueError(
            f"{folder} holds pictures in folders of folders, such as {deep[0]}; a folder has"
            f" pictures, or one folder for each class: name {deep[0].parent}, or move them"
        )
    if empty := [path.name for path in inside if path not in classes]:
        warn(f"{folder}: no pictures in {', '.join(empty)}")
    if own and classes:
        raise ValueError(
            f"{folder} holds pictures ({own[0].name}) beside folders of them ({classes[0].name}/);"
            " put each picture into the folder of its class, or all into one folder"
        )
    files = own or [path for folder in classes for path in _pictures_in(folder)]
    if not files:
        raise ValueError(
            f"{folder} holds no picture ({', '.join(PICTURES)}), nor folders of them, nor IDX files"
            " with `images` in their names"
        )
    labels = np.array([path.parent.name for path in files]) if classes else None
    arrays = [_read_picture(path) for path in files]
    colour = any(array.ndim == 3 for array in arrays)
    images: list[NDArray[Any]] = []
    for path, array in zip(files, arrays, strict=True):
        if colour and array.ndim == 2:
            array = np.repeat(array[..., None], 3, axis=2)
        image = array[None, None] if array.ndim == 2 else np.moveaxis(array, 2, 0)[None]
        if layout.size is not None:
            image = resized(image, layout.size)
        images.append(image)
        if image.shape != images[0].shape:
            sizes = (f"{one.shape[2]} x {one.shape[3]}" for one in (images[0], image))
            first, other = sizes
            raise ValueError(
                f"{files[0]} has {first} pixels but {path} has {other}; data.size=32 resizes all"
                " of them to 32 x 32"
            )
        if image.dtype != images[0].dtype:
            raise ValueError(
                f"{files[0]} has pixels of {images[0].dtype} but {path} of {image.dtype}; save all"
                " alike"
            )
    return Images(np.concatenate(images), labels, str(folder), tuple(files))


def _pictures_in(folder: Path) -> list[Path]:
    return [p for p in _visible(folder) if p.suffix.lower() in PICTURES and not p.is_dir()]


def _read_picture(path: Path) -> NDArray[Any]:
    """Read a picture, (H, W) if it is grey, else (H, W, 3), turned as its camera says."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            if (frames := getattr(opened, "n_frames", 1)) > 1:
                raise ValueError(f"it holds {frames} pictures; save each as a file")
            picture = ImageOps.exif_transpose(opened)
            if picture.mode in ("1", "LA"):
                picture = picture.convert("L")
            elif picture.mode not in ("L", "RGB") and not picture.mode.startswith(("I", "F")):
                picture = picture.convert("RGB")
            return np.asarray(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"{path} is not a readable picture, is it broken or cut short? {error}"
        ) from error


def size_of(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """Return the setting `size` as (height, width)."""
    if size is None:
        return None
    both = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(both) != 2 or any(not isinstance(side, int) or side < 2 for side in both):
        raise ValueError(f"size is {size!r}; it must be one number or [height, width], 2 or more")
    return both


def check_channels(channels: str | None) -> None:
    """Refuse another word for the place of the channels."""
    if channels not in (None, "first", "last"):
        raise ValueError(f"channels is {channels!r}{suggestion(channels, ('first', 'last'))}")
