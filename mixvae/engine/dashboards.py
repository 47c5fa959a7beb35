"""W&B workspaces from `conf/dashboard`: which charts a project shows, in which sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mixvae.cli.errors import UsageError
from mixvae.cli.run_requests import DashboardRequest
from mixvae.cli.schema import conf_dir

MOST_CHARTS = 25
"""More of them are looked at by nobody."""

KINDS = ("y", "regex", "final", "media", "parallel")


def read_dashboard(path: Path) -> dict[str, Any]:
    """Read and check a dashboard's file.

    Raises:
        UsageError: Unless it has a name and sections of at most 25 charts in all, each with a title
            and one of y, regex, final, media and parallel.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("sections"), dict):
        raise UsageError(f"{path} has no sections; see conf/dashboard/mixtures.yaml")
    charts = [chart for charts in content["sections"].values() for chart in charts]
    for chart in charts:
        kinds = [kind for kind in KINDS if kind in chart]
        unknown = set(chart) - {*KINDS, "title", "range"}
        if len(kinds) != 1 or "title" not in chart or unknown:
            raise UsageError(
                f"{path}: chart {chart} needs a title, one of {', '.join(KINDS)}, and at most a"
                " range"
            )
    if not 0 < len(charts) <= MOST_CHARTS:
        raise UsageError(f"{path} has {len(charts)} charts; 1 to {MOST_CHARTS} are allowed")
    return content


def shipped_dashboards() -> list[dict[str, Any]]:
    """The dashboards of `conf/dashboard`."""
    return [read_dashboard(path) for path in sorted((conf_dir() / "dashboard").glob("*.yaml"))]


def build_workspace(content: Mapping[str, Any], entity: str, project: str) -> Any:
    """Make the workspace of a dashboard; it exists on the server once it is saved."""
    import wandb_workspaces.workspaces as ws

    sections = [
        ws.Section(name=name, panels=_panels(charts), is_open=True)
        for name, charts in content["sections"].items()
    ]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=str(content.get("name", "mixvae")),
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis="epoch"),
        auto_generate_panels=False,
    )


def build_report(content: Mapping[str, Any], entity: str, project: str) -> Any:
    """Make a report with the charts of a dashboard, a heading for each section."""
    import wandb_workspaces.reports.v2 as wr

    blocks: list[Any] = []
    for name, charts in content["sections"].items():
        runs = [wr.Runset(entity=entity, project=project)]
        blocks += [wr.H2(name), wr.PanelGrid(runsets=runs, panels=_panels(charts))]
    title = f"mixvae: {content.get('name', project)}"
    return wr.Report(project=project, entity=entity, title=title, blocks=blocks)


def _panels(charts: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The charts of a section, two in a row."""
    import wandb_workspaces.reports.v2 as wr

    width, height = 12, 8
    places = [
        wr.Layout(x=width * (i % 2), y=height * (i // 2), w=width, h=height)
        for i in range(len(charts))
    ]
    return [_panel(chart, place) for chart, place in zip(charts, places, strict=True)]


def _panel(chart: Mapping[str, Any], place: Any) -> Any:
    import wandb_workspaces.reports.v2 as wr

    title = chart["title"]
    if "media" in chart:
        return wr.MediaBrowser(title=title, media_keys=list(chart["media"]), layout=place)
    if "final" in chart:
        return wr.BarPlot(title=title, metrics=list(chart["final"]), layout=place)
    if "parallel" in chart:
        columns = [
            wr.ParallelCoordinatesPlotColumn(
                metric=wr.SummaryMetric(name) if "/" in name else wr.Config(name)
            )
            for name in chart["parallel"]
        ]
        return wr.ParallelCoordinatesPlot(title=title, columns=columns, layout=place)
    lines = {"metric_regex": chart["regex"]} if "regex" in chart else {"y": list(chart["y"])}
    return wr.LinePlot(
        title=title,
        x="epoch",
        title_x="epoch",
        range_y=tuple(chart.get("range", (None, None))),
        layout=place,
        **lines,
    )


def save_dashboard(request: DashboardRequest) -> list[str]:
    """Send a dashboard to W&B, and return the addresses; of a dry run its sections and charts.

    Raises:
        UsageError: If the file is wrong, `wandb-workspaces` is missing, or there is no login.
    """
    try:
        content = read_dashboard(request.file)
        building = [build_workspace, build_report]
        chosen = {"workspace": building[:1], "report": building[1:], "both": building}
        made = [
            build(content, request.entity or "", request.project) for build in chosen[request.kind]
        ]
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is missing; pip install mixvae[dashboard], or .[dashboard] in a checkout"
        ) from error
    if request.dry_run:
        return [
            f"{name}: " + "; ".join(chart["title"] for chart in charts)
            for name, charts in content["sections"].items()
        ]
    entity = request.entity or _own_entity()
    for item in made:
        item.entity = entity
    return [str(item.save().url) for item in made]


def _own_entity() -> str:
    """The login's default entity."""
    import wandb

    try:
        entity = wandb.Api(timeout=10).default_entity
    except (wandb.Error, OSError, ValueError) as error:
        raise UsageError(f"W&B cannot be reached, or has no login: {error}") from error
    if not entity:
        raise UsageError("the W&B login has no default entity; give entity=TEAM")
    return str(entity)
