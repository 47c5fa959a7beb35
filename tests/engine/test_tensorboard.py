"""TensorBoard is given metrics and pictures at their epochs, and W&B's sections of charts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixvae.cli.schema import conf_dir
from mixvae.engine.dashboards import read_dashboard
from mixvae.engine.other_loggers import layout_for
from mixvae.files import read_metrics


def sections(name: str) -> dict[str, list[str]]:
    content = read_dashboard(conf_dir() / f"dashboard/{name}.yaml")["sections"]
    return {title: [chart["title"] for chart in charts] for title, charts in content.items()}


@pytest.mark.parametrize(
    ("metric", "name"), [("val/consensus", "mixtures"), ("val/imputation", "modalities")]
)
def test_the_layout_is_that_of_the_dashboard_with_these_metrics(metric: str, name: str) -> None:
    layout = layout_for([metric, "val/loss", "val/reconstruction/rat"])
    for section, charts in layout.items():
        assert set(charts) <= set(sections(name)[section])
    assert "Objective" in layout
    assert layout["Objective"]["Loss (nats)"] == ["Multiline", ["^train/loss$", "^val/loss$"]]


def test_a_run_is_read_back_from_its_event_file(
    train: Callable[..., Any], small: tuple[str, ...], tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.custom_scalar import layout_pb2, metadata

    lines = [line for line in small if "logger" not in line and "figures" not in line]
    outcome = train(*lines, "logger=tensorboard", "run_dir=a", "trainer.max_epochs=2")
    assert outcome.status == 0, outcome.err
    folder = tmp_path / "a"
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    for name in ("val/loss", "val/accuracy/agent1", "test/accuracy"):
        rows = [row for row in read_metrics(folder / "metrics.csv") if name in row]
        logged = events.Scalars(name)
        assert [event.step for event in logged] == [int(row["epoch"]) for row in rows]
        values = [float(row[name]) for row in rows]
        assert [event.value for event in logged] == pytest.approx(values)
    assert "epoch" not in events.Tags()["scalars"], "the x axis"
    (event,) = events.Tensors(metadata.CONFIG_SUMMARY_TAG)
    layout = layout_pb2.Layout()
    layout.ParseFromString(event.tensor_proto.string_val[0])
    shown = {part.title: [chart.title for chart in part.chart] for part in layout.category}
    assert set(shown) == {"Result", "Objective", "Agents"}
    assert "Accuracy of each agent" in shown["Agents"]
    milestones = [event.step for event in events.Images("milestones/consensus_matrix")]
    files = (folder / "figures/milestones").glob("consensus_matrix_epoch*.png")
    assert milestones == sorted(int(path.stem.rpartition("epoch")[2]) - 1 for path in files)
    assert milestones == [0, 1]
    drawn = {f"figures/{path.stem}" for path in (folder / "figures").glob("*.png")}
    assert drawn <= set(events.Tags()["images"])
