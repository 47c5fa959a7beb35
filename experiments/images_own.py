"""A user's own images: `images_cpl` with nothing but the path, beside k-means and UMAP + mixture.

    python -m experiments.images_own --data FOLDER --seeds 0 1 2

Sets: `mnist` (MNIST's 10,000 official test images, from the IDX files below FOLDER), `digits`
(scikit-learn's 1,797 digits) and `letters` (A to J in the fonts that matplotlib brings, moved and
turned at random). Each is written as .npy, as IDX or as a folder of PNG files, one folder a class,
under --runs. All methods are scored on the same fifth of the images; the labels only measure. The
others see the images of training too. UMAP runs where umap-learn is installed.
"""

from __future__ import annotations

import importlib.util
import json
import struct
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.cells_recovery import RESULTS
from experiments.reports import command_of, markdown, options, spread
from experiments.single_runs import finished, train
from mixvae.data.files.given import giving, name_of
from mixvae.data.images.datamodule import ImageDataModule
from mixvae.evaluation.clustering import clustering_accuracy, normalised_mutual_information
from mixvae.runs.provenance import describe_provenance

FORMS = ("npy", "idx", "png")
LETTERS = "ABCDEFGHIJ"
LETTER_SIZE = 28
COPIES = 25  # of each letter in each font
# Symbols, and faces that draw no letters of their own.
UNLETTERED = ("LastResort", "STIXSiz", "STIXNonUni", "cmex", "cmsy", "cmmi", "Math")


class Labelled(NamedTuple):
    """Images, uint8, shape (N, H, W), and their labels, (N,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def mnist(folder: Path) -> Labelled:
    """MNIST's official test set, from IDX files anywhere below a folder."""
    arrays = []
    for kind in ("images-idx3", "labels-idx1"):
        found = sorted(folder.rglob(f"t10k-{kind}-ubyte"))
        if not found:
            raise FileNotFoundError(f"--data {folder} holds no t10k-{kind}-ubyte")
        content = found[0].read_bytes()
        shape = struct.unpack_from(f">{content[3]}I", content, 4)
        arrays.append(np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape))
    return Labelled(arrays[0], arrays[1].astype(np.int64))


def digits(folder: Path) -> Labelled:
    """scikit-learn's digits, 8 x 8 pixels from 0 to 16."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return Labelled(found.images.astype(np.uint8), found.target.astype(np.int64))


def letters(folder: Path) -> Labelled:
    """Ten letters in matplotlib's own fonts, each moved, turned and resized at random."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    random = np.random.default_rng(0)
    fonts = sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob("*.ttf"))
    images, labels = [], []
    for font in (str(one) for one in fonts if not any(word in one.name for word in UNLETTERED)):
        for label, letter in enumerate(LETTERS):
            for _ in range(COPIES):
                face = ImageFont.truetype(font, int(random.integers(17, 24)))
                canvas = Image.new("L", (LETTER_SIZE, LETTER_SIZE))
                place = LETTER_SIZE / 2 + random.uniform(-2, 2, 2)
                ImageDraw.Draw(canvas).text(tuple(place), letter, 255, face, anchor="mm")
                turned = canvas.rotate(float(random.uniform(-12, 12)), Image.Resampling.BILINEAR)
                if turned.getbbox() is not None:  # the font has the letter
                    images.append(np.asarray(turned))
                    labels.append(label)
    return Labelled(np.stack(images), np.array(labels))


SETS: dict[str, Callable[[Path], Labelled]] = {"mnist": mnist, "digits": digits, "letters": letters}


def write(data: Labelled, form: str, folder: Path) -> list[str]:
    """Write a set in a form, and return the overrides that name it."""
    folder.mkdir(parents=True, exist_ok=True)
    if form == "png":
        from PIL import Image

        for number, (image, label) in enumerate(zip(*data, strict=True)):
            place = folder / "png" / str(label)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{number:05d}.png")
        return [f"data.path={folder / 'png'}"]
    if form == "idx":
        for name, array in (("images-idx3", data.images), ("labels-idx1", data.labels)):
            header = struct.pack(f">I{array.ndim}I", 0x800 | array.ndim, *array.shape)
            content = header + array.astype(np.uint8).tobytes()
            (folder / f"own-{name}-ubyte").write_bytes(content)
        return [f"data.path={folder / 'own-images-idx3-ubyte'}"]
    np.save(folder / "images.npy", data.images)
    np.save(folder / "labels.npy", data.labels)
    return [f"data.path={folder / 'images.npy'}", f"data.labels={folder / 'labels.npy'}"]


def score(labels: NDArray[Any], clusters: NDArray[Any], tested: NDArray[Any]) -> dict[str, float]:
    """Accuracy and NMI of clusters on the test images."""
    table = np.zeros((clusters.max() + 1, labels.max() + 1), dtype=np.int64)
    np.add.at(table, (clusters[tested], labels[tested]), 1)
    return {
        "accuracy": clustering_accuracy(table),
        "nmi": normalised_mutual_information(table),
    }


def baselines(data: Labelled, seed: int) -> dict[str, dict[str, float]]:
    """Scores of k-means on pixels and of a Gaussian mixture on UMAP's plane, on test images."""
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    points = data.images.reshape(len(data.images), -1) / np.float32(data.images.max())
    count = int(data.labels.max()) + 1
    tested = tested_rows(data)
    clusters = KMeans(count, n_init=10, random_state=seed).fit_predict(points)
    scores = {"k-means": score(data.labels, clusters, tested)}
    if importlib.util.find_spec("umap") is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import umap

            plane = umap.UMAP(min_dist=0.0, random_state=seed).fit_transform(points)
        mixture = GaussianMixture(count, n_init=5, random_state=seed)
        clusters = mixture.fit_predict(np.asarray(plane, dtype=np.float64))
        scores["UMAP + Gaussian mixture"] = score(data.labels, clusters, tested)
    return scores


def tested_rows(data: Labelled) -> NDArray[np.int64]:
    """Rows of the images that `images_cpl` tests."""
    name = name_of(data.images)
    with giving({name: data.images}):
        module = ImageDataModule(seed=0, path=name)
        module.setup("test")
        rows: NDArray[np.int64] = np.concatenate(
            [batch.index.numpy() for batch in module.test_dataloader()]
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, print the table and write it with every run's values."""
    parser = options(__doc__, Path("runs", "images_own"), RESULTS)
    parser.add_argument("--data", type=Path, required=True, help="folder of MNIST's IDX files")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=["npy"])
    chosen = parser.parse_args(arguments)
    found: dict[str, dict[str, dict[int, dict[str, float]]]] = {}
    for name in chosen.sets:
        data = SETS[name](chosen.data)
        rows = found.setdefault(f"{name} ({len(data.images)})", {})
        for form in chosen.forms:
            named = write(data, form, chosen.runs / "data" / name)
            for seed in chosen.seeds:
                folder = chosen.runs / name / f"{form}_seed{seed}"
                train("images_cpl", folder, seed, [*named, *chosen.overrides])
                summary = finished(folder) or {}
                values = {key: summary[f"test/{key}"] for key in ("accuracy", "nmi", "consensus")}
                rows.setdefault(f"images_cpl, {form}", {})[seed] = {
                    **values,
                    "seconds": summary["seconds"],
                }
                print(name, form, seed, values, flush=True)
        for seed in chosen.seeds:
            for method, values in baselines(data, seed).items():
                rows.setdefault(method, {})[seed] = values
    command = command_of("images_own", arguments)
    chosen.results.mkdir(parents=True, exist_ok=True)
    content = {"command": command, "machine": describe_provenance([]), "scores": found}
    text = json.dumps(content, indent=1, default=str)
    (chosen.results / "images_own.json").write_text(text + "\n")
    print(tabulate(found))


def tabulate(found: dict[str, dict[str, dict[int, dict[str, float]]]]) -> str:
    """Markdown table, a row for each set and method: mean and deviation over seeds."""
    columns = {"accuracy": 3, "nmi": 3, "consensus": 3, "seconds": 0}
    rows = []
    for name, methods in found.items():
        for method, by_seed in methods.items():
            runs = list(by_seed.values())
            values = [
                spread([one[key] for one in runs], digits) if key in runs[0] else ""
                for key, digits in columns.items()
            ]
            rows.append([name, method, *values])
    return markdown(["images", "method", *columns], rows)


if __name__ == "__main__":
    main()
