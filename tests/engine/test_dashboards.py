"""Dashboards and W&B sweeps of conf/, checked without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from mixvae import dashboard, train
from mixvae.cli.errors import UsageError
from mixvae.engine.dashboards import MOST_CHARTS, build_report, build_workspace, read_dashboard

CONF = Path(__file__).parents[2] / "conf"
DASHBOARDS = sorted((CONF / "dashboard").glob("*.yaml"))
SWEEPS = sorted((CONF / "wandb_sweep").glob("*.yaml"))


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_a_workspace_of_few_charts_over_epochs(file: Path) -> None:
    content = read_dashboard(file)
    workspace = build_workspace(content, "team", "mixvae")
    assert [section.name for section in workspace.sections] == list(content["sections"])
    panels = [panel for section in workspace.sections for panel in section.panels]
    assert len(panels) == sum(map(len, content["sections"].values())) <= MOST_CHARTS
    lines = [panel for panel in panels if type(panel).__name__ == "LinePlot"]
    assert len(lines) >= 5
    assert all(panel.x == "epoch" for panel in lines)
    assert workspace.auto_generate_panels is False, "else W&B adds a chart for each metric"
    report = build_report(content, "team", "mixvae")
    grids = [block for block in report.blocks if type(block).__name__ == "PanelGrid"]
    assert len(grids) == len(content["sections"])


def test_agents_share_a_chart() -> None:
    content = read_dashboard(CONF / "dashboard/mixtures.yaml")
    named = [
        name for charts in content["sections"].values() for c in charts for name in c.get("y", ())
    ]
    assert not [name for name in named if "agent" in name]
    assert sum("agent[0-9]+" in chart["regex"] for chart in content["sections"]["Agents"]) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sections: 3", "no sections"),
        ("sections: {A: [{title: t}]}", "needs a title"),
        ("sections: {A: [{title: t, y: [a], regex: b}]}", "one of"),
        ("sections: {A: [{title: t, y: [a], colour: red}]}", "needs a title"),
        ("sections: {A: [" + "{title: t, y: [a]}, " * 26 + "]}", "has 26 charts"),
    ],
)
def test_a_wrong_dashboard_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UsageError, match=words):
        read_dashboard(tmp_path / "mine.yaml")


def test_a_dry_run_prints_the_charts_and_sends_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert dashboard.main(["project=mixvae", "dry_run=true"]) == 0
    assert "Consensus of the agents" in capsys.readouterr().out
    assert dashboard.main(["project=mixvae", "dashboard=mixture"]) != 0
    error = capsys.readouterr().err
    assert "did you mean" in error.lower()
    assert "mixtures" in error
    assert dashboard.main(["project=a", f"dashboard={tmp_path / 'none.yaml'}"]) != 0
    assert "the file is missing" in capsys.readouterr().err


@pytest.mark.parametrize("file", SWEEPS, ids=lambda path: path.stem)
def test_the_command_of_a_wandb_sweep_composes(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load(file.read_text())
    assert not content["metric"]["name"].startswith("test/")
    assert content["metric"]["name"].endswith(".last"), "what the summary holds, see BEST"
    chosen = {
        key: {"value": values.get("values", [values.get("min")])[0]}
        for key, values in content["parameters"].items()
    }
    arguments: dict[str, Any] = create_sweep_command_args({"args": chosen})
    command = create_sweep_command(content["command"])
    start = command.index("mixvae.train") + 1
    rest = [line for line in command[start:] if line != "${args_no_hyphens}"]
    assert train.main([*rest, *arguments["args_no_hyphens"], "--cfg", "job"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    for key, value in chosen.items():
        node: Any = shown
        for part in key.split("."):
            node = node[part]
        assert node == value["value"]
