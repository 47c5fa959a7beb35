"""The figures are drawn after a test, from the model and the data at hand."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import Logger
from matplotlib.figure import Figure
from PIL import Image

import mixvae.callbacks.figures as module
from mixvae.callbacks.evaluation import Evaluation
from mixvae.callbacks.figures import Figures
from mixvae.callbacks.milestones import Milestones
from mixvae.callbacks.pictures import FigureSettings, PictureLogger, _write, save_pictures
from mixvae.engine.csv_logger import CsvLogger
from mixvae.figures.style import new_figure, tidy

OF_STATES = {"state_scatter", "traversal_state0", "traversal_state1", "traversal_state2"}
ALWAYS = OF_STATES | {
    "category_label_table",
    "category_samples",
    "consensus_matrix",
    "reconstructions",
    "risk_coverage",
    "samples_per_category",
}


def names(folder: Path) -> set[str]:
    """Open each picture and return their names."""
    paths = list((folder / "figures").iterdir())
    for path in paths:
        with Image.open(path) as image:
            assert image.size > (100, 100)
    return {path.stem for path in paths}


class Album(Logger):
    """A logger that keeps the pictures it is given."""

    name = "album"
    version = 0

    def __init__(self) -> None:
        super().__init__()
        self.pictures: dict[str, list[str]] = {}

    def log_metrics(self, *_: Any, **__: Any) -> None: ...

    def log_hyperparams(self, *_: Any, **__: Any) -> None: ...

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        self.pictures[key] = images


def test_a_trained_model_gets_all_figures_in_files_and_loggers(
    tmp_path, quiet_trainer, tiny_model, tiny_data
) -> None:
    album = Album()
    loggers = [album, CsvLogger(str(tmp_path / "metrics.csv"))]
    callbacks = [Evaluation(), Figures(dirpath=str(tmp_path))]
    trainer = quiet_trainer(callbacks=callbacks, logger=loggers, log_every_n_steps=1)
    trainer.fit(tiny_model, datamodule=tiny_data)
    for _ in range(2):  # a second test overwrites and leaves nothing else
        trainer.test(tiny_model, datamodule=tiny_data, verbose=False)
        assert names(tmp_path) == ALWAYS | {"learning_curves"}
    assert set(album.pictures) == {f"figures/{name}" for name in names(tmp_path)}
    assert all(Path(path).is_file() for (path,) in album.pictures.values())
    assert not isinstance(loggers[1], PictureLogger)


@pytest.mark.parametrize(
    ("sizes", "num_classes", "missing"),
    [
        ({"num_agents": 1}, 4, {"consensus_matrix"}),
        ({}, 0, {"category_label_table", "risk_coverage"}),
        ({"state_dim": 0}, 4, OF_STATES),
    ],
)
def test_what_a_model_or_data_lack_is_left_out(
    tmp_path,
    quiet_trainer,
    make_model,
    make_data,
    record_drawing,
    sizes,
    num_classes: int,
    missing: set[str],
) -> None:
    record_drawing(module, "traversal", *ALWAYS - OF_STATES, "state_scatter")
    trainer = quiet_trainer(callbacks=[Figures(dirpath=str(tmp_path))])
    data = make_data(num_classes=num_classes)
    trainer.test(make_model(**sizes), datamodule=data, verbose=False)
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == ALWAYS - missing


@pytest.fixture
def drawn(record_drawing) -> dict[str, list[tuple[Any, ...]]]:
    names = ("reconstructions", "traversal", "category_samples", "learning_curves")
    return record_drawing(module, *names)


def test_pictures_show_what_the_model_says(
    tmp_path, quiet_trainer, tiny_model, tiny_data, drawn
) -> None:
    figures = Figures(dirpath=str(tmp_path), traversal_steps=3, samples_per_category=5)
    quiet_trainer(callbacks=[figures]).test(tiny_model, datamodule=tiny_data, verbose=False)
    x, _, index = (torch.stack(column) for column in zip(*tiny_data.rows, strict=True))
    x = x[index.argsort()]
    with torch.no_grad():
        posterior = tiny_model.infer(x)
    category = posterior.probs.argmax(-1)

    ((samples, decoded, _, value_range, _),) = drawn["reconstructions"]
    assert value_range == (0.0, 1.0)
    rows = [int((x == torch.from_numpy(s)).flatten(1).all(1).nonzero()) for s in samples]
    one_hot = torch.eye(4)[category[:, rows]]
    with torch.no_grad():
        expected = tiny_model.decode(one_hot, posterior.state_mean[:, rows])
    np.testing.assert_allclose(decoded, expected, rtol=1e-4, atol=1e-6)

    (grid, values, shown, state, _) = drawn["traversal"][1]
    assert state == 1
    states = posterior.state_mean[0]
    np.testing.assert_allclose(values[[0, -1]], np.percentile(states[:, 1], [5, 95]), rtol=1e-4)
    for row, k in enumerate(shown):
        members = states[category[0] == k]
        centre = members.mean(0) if len(members) else states.mean(0)
        for column, value in enumerate(values):
            at = centre.clone()
            at[1] = value
            with torch.no_grad():
                code = torch.eye(4)[k].expand(2, 1, 4), at.expand(2, 1, 3)
                image = tiny_model.decode(*code)[0, 0]
            np.testing.assert_allclose(grid[row, column], image, rtol=1e-4, atol=1e-6)


def test_category_samples_come_in_the_order_of_confidence(
    tmp_path, quiet_trainer, tiny_model, tiny_data, drawn
) -> None:
    figures = Figures(dirpath=str(tmp_path), samples_per_category=4)
    quiet_trainer(callbacks=[figures]).test(tiny_model, datamodule=tiny_data, verbose=False)
    ((grid, shown, _, _),) = drawn["category_samples"]
    assert shown == [0, 1, 2, 3]
    for k, members in zip(shown, grid, strict=True):
        if len(members) == 0:
            continue
        with torch.no_grad():
            probs = tiny_model.infer(torch.from_numpy(members)).probs
        confidence = probs[..., k].mean(0)
        assert (confidence.diff() <= 1e-6).all()


@pytest.mark.parametrize("place", [".", "evaluations/other"])
def test_an_evaluation_alone_draws_the_curves_of_metrics_csv(
    tmp_path, quiet_trainer, tiny_model, tiny_data, drawn, place: str
) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,step,val/nmi\n0,9,0.1\n1,19,0.2\n")
    trainer = quiet_trainer(callbacks=[Figures(dirpath=str(tmp_path / place))])
    trainer.test(tiny_model, datamodule=tiny_data, verbose=False)
    assert drawn["learning_curves"] == [({"val/nmi": ([1, 2], [0.1, 0.2])}, 4)]


def test_pruned_categories_are_not_drawn(
    tmp_path, quiet_trainer, tiny_model, tiny_data, record_drawing
) -> None:
    seen = record_drawing(module, "consensus_matrix", "samples_per_category")
    tiny_model.category_mask[1] = False
    trainer = quiet_trainer(callbacks=[Figures(dirpath=str(tmp_path))])
    trainer.test(tiny_model, datamodule=tiny_data, verbose=False)
    for ((values, categories),) in seen.values():
        assert (values.shape, categories) == ((3, 3), [0, 2, 3])


@pytest.mark.parametrize(("format", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_vector_copy_stands_beside_the_picture(tmp_path: Path, format: str, start: bytes) -> None:
    def draw() -> Iterator[tuple[str, Figure]]:
        figure = new_figure(2, 1)
        tidy(figure.add_subplot(), "A title")
        yield "one", figure

    settings = FigureSettings(format, "paper")
    trainer = SimpleNamespace(callbacks=[settings], loggers=[])
    save_pictures(trainer, tmp_path, draw())
    copy = (tmp_path / "figures" / f"one.{format}").read_bytes()
    assert copy.startswith(start)
    assert b"STIX" in copy, "letters, not curves"
    with Image.open(tmp_path / "figures/one.png") as image:
        assert image.width > 400, "300 dots an inch"
    assert matplotlib.rcParams["font.family"] == ["sans-serif"], "of these figures alone"


def test_unknown_formats_and_styles_are_refused() -> None:
    with pytest.raises(ValueError, match=r"figures\.format is 'jpg'; use svg, pdf or null"):
        FigureSettings("jpg")
    with pytest.raises(ValueError, match=r"figures\.style is 'bold'; use one of screen, paper"):
        FigureSettings(style="bold")


def test_milestones_are_spread_and_wait_for_a_validation(tmp_path: Path) -> None:
    def due(every: int, loggers: list[Any]) -> list[int]:
        milestones = Milestones(str(tmp_path), count=4)
        trainer = SimpleNamespace(
            **{"max_epochs": 20, "check_val_every_n_epoch": every, "loggers": loggers},
            **{"sanity_checking": False, "fast_dev_run": False},
        )
        found = []
        for epoch in range(every, 21, every):
            trainer.current_epoch = epoch - 1
            if milestones.due(trainer):
                found.append(epoch)
        return found

    assert due(1, [Album()]) == [1, 5, 10, 15, 20]
    assert due(4, [Album()]) == [4, 8, 12, 16, 20]
    assert due(1, []) == []


def test_names_of_any_script_are_drawn_without_a_warning(tmp_path: Path) -> None:
    figure = Figure(layout="constrained")
    figure.subplots().set_title("\u65e5\u672c")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _write(figure, tmp_path / "name.png")
    assert (tmp_path / "name.png").stat().st_size > 1000
