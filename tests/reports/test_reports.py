"""Reports of runs that are whole, stopped, old, hostile or huge, and of a sweep."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixvae.files import write_json, write_table
from mixvae.report import main
from mixvae.reports.charts import (
    MOST_POINTS,
    category_plane,
    learning_curves,
    phases,
)
from mixvae.reports.page import write_run_report
from mixvae.reports.record import read_record
from mixvae.reports.sliders import traversals
from mixvae.reports.sweep import write_sweep_report

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360"
    "000002000001e221bc330000000049454e44ae426082"
)


class Page(HTMLParser):
    """The text outside scripts, the JSON of charts, and every address that a page loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.charts: list[str] = []
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self._open = "chart" if given.get("class") == "plot" else tag
        self.loaded += [v for k, v in attrs if v and k in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "chart":
            self.charts.append(data)
        elif self._open not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def make_run(folder: Path, samples: int = 60, status: str = "finished", name: str = "toy") -> Path:
    """The files that a run of a mixture leaves."""
    rng = np.random.default_rng(0)
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "state_scatter.png").write_bytes(PNG)
    schedule = "{_target_: mixvae.objectives.schedules.Linear, begin: 1, length: 1}"
    model = f"model: {{align_epochs: [1], coupling_weight: {schedule}}}\n"
    (folder / "config.yaml").write_text(f"name: {json.dumps(name)}\nseed: 3\n{model}")
    pictures = rng.integers(0, 255, (2, 3, 5, 1, 4, 4)).astype(np.uint8)
    values = np.linspace(-1, 1, 5)[None].repeat(2, axis=0)
    np.savez(folder / "traversals.npz", pictures=pictures, values=values, categories=np.arange(3))
    summary = {"status": status, "name": name, "epochs": 2, "seconds": 1.5}
    measured = {"test/consensus": 0.91, "test/accuracy": 0.8, "test/populated_categories": 3.0}
    write_json(folder / "summary.json", {**summary, "warnings": ["a warning"], **measured})
    write_json(folder / "provenance.json", {"command": "python -m mixvae.train +experiment=toy"})
    header = ["epoch", "step", "train/loss", "val/loss", "val/consensus"]
    write_table(folder / "metrics.csv", header, [[0, 5, 4.0, 3.5, 0.2], [1, 10, 3.0, "nan", 0.9]])
    probs = rng.dirichlet([0.2] * 3, size=(2, samples)).astype(np.float32)
    np.savez(
        folder / "predictions.npz",
        index=np.arange(samples),
        label=rng.integers(0, 3, samples),
        probs=probs,
        category=probs.argmax(-1),
        consensus=probs.mean(0).argmax(-1),
        state_mean=rng.normal(size=(2, samples, 2)).astype(np.float32),
        class_names=np.array(["T cell", "B <i>cell</i>", "monocyte"]),
    )
    return folder


def report(folder: Path) -> Page:
    return Page(write_run_report(folder).read_text(encoding="utf-8"))


def test_a_report_is_one_file_with_verdict_charts_pictures_and_commands(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    assert main([f"run={folder}"]) == 0
    page = Page((folder / "report.html").read_text())
    assert "3 categories" in page.text
    assert "0.910" in page.text
    assert "a warning" in page.text
    assert "python -m mixvae.train +experiment=toy" in page.text
    assert "python -m mixvae.evaluate run=" in page.text
    assert page.loaded, "the picture"
    assert "States of the first agent, in a plane, by category." in page.text
    assert all(address.startswith("data:") for address in page.loaded)
    assert (folder / "report.html").stat().st_size < 10e6
    charts = [json.loads(text) for text in page.charts]
    scatter = charts[0]["data"]
    assert sum(len(group["x"]) for group in scatter) == 60
    curves = {trace["name"]: trace["y"] for chart in charts for trace in chart["data"] if
              trace.get("mode") == "lines"}  # fmt: skip
    assert curves["train/loss"] == [4.0, 3.0]
    assert curves["val/loss"] == [3.5, None], "a NaN is a gap, and JSON has none"


def test_the_confusion_chart_counts_the_samples(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    arrays = read_record(folder).arrays
    table = next(c for t in report(folder).charts for c in json.loads(t)["data"] if "z" in c)
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (arrays["consensus"], arrays["label"]), 1)
    assert np.array_equal(table["z"], expected)


def test_charts_have_the_names_of_classes_escaped(tmp_path: Path) -> None:
    charts = [json.loads(text) for text in report(make_run(tmp_path / "run")).charts]
    table = next(chart["data"][0] for chart in charts if "z" in chart["data"][0])
    assert table["x"] == ["T cell", "B &lt;i&gt;cell&lt;/i&gt;", "monocyte"]
    groups = {trace["name"] for trace in charts[1]["data"]}
    assert groups == {"T cell", "B &lt;i&gt;cell&lt;/i&gt;", "monocyte"}


def test_learning_curves_mark_schedules_and_alignment(tmp_path: Path) -> None:
    record = read_record(make_run(tmp_path / "run"))
    assert phases(record) == {
        1: "agents aligned, coupling_weight begins to change",
        2: "coupling_weight settles",
    }
    late = {"begin": 2, "length": 50}  # settles after the run was stopped
    config = {"model": {"beta": late}, "callbacks": {"merging": {"after_epochs": 2}}}
    assert phases(replace(record, config=config)) == {2: "beta begins to change, categories merged"}
    layout = learning_curves(record)[0].layout
    assert [shape["x0"] for shape in layout["shapes"]] == [1, 2]
    assert [note["text"] for note in layout["annotations"]] == ["1", "2"]


def test_a_slider_has_a_picture_for_each_value(tmp_path: Path) -> None:
    record = read_record(make_run(tmp_path / "run"))
    sliders = traversals(record)
    assert [len(one.sources) for one in sliders] == [5, 5]
    assert sliders[0].labels[0] == "state 0 = -1.00"
    picture = Image.open(BytesIO(base64.b64decode(sliders[1].sources[3].partition(",")[2])))
    factor = picture.height // 5
    drawn = np.asarray(picture)[::factor, ::factor]
    assert np.array_equal(drawn[:4, 5:9], record.traversals["pictures"][1, 1, 3, 0])
    assert report(record.folder).tags.count("input") == 2


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_a_stopped_run_says_so_first_and_how_to_resume(tmp_path: Path, status: str) -> None:
    folder = make_run(tmp_path / "run", status=status)
    page = report(folder)
    assert page.text.index("This run") < page.text.index("a warning")
    assert f"python -m mixvae.train resume={folder}" in page.text


def test_files_that_are_missing_or_half_written_are_named_and_the_rest_is_shown(
    tmp_path: Path,
) -> None:
    folder = make_run(tmp_path / "run")
    (folder / "predictions.npz").write_bytes((folder / "predictions.npz").read_bytes()[:200])
    (folder / "summary.json").write_text('{"status": "fin')
    (folder / "provenance.json").unlink()
    page = report(folder)
    assert "predictions.npz cannot be read" in page.text
    assert "summary.json cannot be read" in page.text
    assert "status of this run is unknown" in page.text
    assert page.charts, "the learning curves"


def test_a_run_of_an_older_version_is_shown_and_names_its_version(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    (folder / "traversals.npz").unlink()
    with np.load(folder / "predictions.npz") as file:
        old = {name: file[name] for name in file.files if name != "class_names"}
    np.savez(folder / "predictions.npz", **old)
    command = ["python", "-m", "mixvae.train", "run_dir=my runs/a", "tags=[a b]"]
    write_json(folder / "provenance.json", {"mixvae": "0.0.9", "command": command})
    page = report(folder)
    assert "0.0.9; this page was drawn by" in page.text
    assert "python -m mixvae.train 'tags=[a b]'" in page.text, "the folder is taken"
    assert "my runs" not in page.text
    assert {trace["name"] for trace in json.loads(page.charts[1])["data"]} == {"0", "1", "2"}


def test_names_are_escaped_in_text_charts_and_tables(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><b>"
    folder = make_run(tmp_path / "run", name=evil)
    (folder / "predictions.npz").unlink()
    np.savez(
        folder / "predictions.npz",
        **{"a/mean": np.eye(3), "a/label": np.arange(3), "a/row": np.arange(3)},
        class_names=np.array([evil, "b", "c"]),
    )
    write_table(folder / "state_genes.csv", ["gene"], [[evil]])
    text = write_run_report(folder).read_text()
    assert "alert(1)</script>" not in text
    page = Page(text)
    sliders = page.tags.count("input")
    assert page.tags.count("script") == len(page.charts) + sliders + 2, "ours alone"
    drawn = [trace for chart in page.charts for trace in json.loads(chart)["data"]]
    assert any("alert" in trace["name"] for trace in drawn)
    assert not any("<script" in trace["name"] for trace in drawn), "plotly draws tags in names"


def test_a_hundred_thousand_samples_are_thinned_and_the_page_says_so(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", samples=100_000)
    page = report(folder)
    scatter = json.loads(page.charts[0])["data"]
    assert sum(len(group["x"]) for group in scatter) == MOST_POINTS
    assert f"{MOST_POINTS} of them are drawn" in page.text
    assert (folder / "report.html").stat().st_size < 10e6


def test_latents_of_several_modalities_are_drawn(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    summary = {"status": "finished", "test/coherence": 0.5, "test/probe_accuracy": 0.625}
    write_json(folder / "summary.json", summary)
    rng = np.random.default_rng(0)
    np.savez(
        folder / "predictions.npz",
        **{
            f"{name}/{column}": value
            for name in ("a", "b")
            for column, value in {
                "mean": rng.normal(size=(9, 4)),
                "label": rng.integers(-1, 2, 9),
                "row": np.arange(9),
            }.items()
        },
        class_names=np.array(["left", "right"]),
    )
    page = report(folder)
    assert "coherence 0.500" in page.text
    assert "Latents of a" in page.text
    names = {t["name"] for chart in page.charts for t in json.loads(chart)["data"]}
    assert names <= {"left", "right", "unknown"}


def test_a_sweep_has_a_sortable_table_and_parallel_coordinates(tmp_path: Path) -> None:
    header = ["job", "seed", "model.state_dim", "status", "error", "seconds", "test/accuracy"]
    rows = [
        [0, 0, 2, "finished", "", 9, 0.9],
        [1, 1, 2, "finished", "", 8, 0.8],
        [2, 0, 3, "finished", "", 7, 0.75],
        [3, 1, 3, "failed", "loss is <b>NaN</b>", 6, ""],
    ]
    write_table(tmp_path / "sweep.csv", header, rows)
    make_run(tmp_path / "1")
    write_run_report(tmp_path / "1")
    assert main([f"run={tmp_path}"]) == 0
    page = Page((tmp_path / "report.html").read_text())
    assert "job 3: failed, loss is <b>NaN</b>" in page.text
    assert "sortable" in (tmp_path / "report.html").read_text()
    assert [link for link in page.loaded if not link.startswith("data:")] == ["1/report.html"]
    dimensions = json.loads(page.charts[0])["data"][0]["dimensions"]
    assert {axis["label"]: axis["values"] for axis in dimensions} == {
        "seed": [0, 1, 0],
        "model.state_dim": [2, 2, 3],
        "test/accuracy": [0.9, 0.8, 0.75],
    }
    assert "2 0 1 0.85 ± 0.071" in page.text, "state_dim, seeds, mean and sample deviation"
    assert "3 0 0.75" in page.text


def test_a_search_is_a_table_of_its_trials(tmp_path: Path) -> None:
    header = ["trial", "jobs", "model.tau", "status", "error", "val/consensus"]
    rows = [[0, "0 1", 0.5, "finished", "", 0.9], [1, "2 3", 0.7, "pruned", "", 0.4]]
    write_table(tmp_path / "search.csv", header, rows)
    for job in "02":
        make_run(tmp_path / job)
    page = Page(write_sweep_report(tmp_path).read_text())
    assert "2 trials." in page.text
    charts = [json.loads(text)["data"] for text in page.charts]
    assert [axis["label"] for axis in charts[0][0]["dimensions"]] == ["model.tau", "val/consensus"]
    assert [trace["name"] for trace in charts[1]] == ["0", "1"], "a curve of each trial"


def test_several_runs_are_shown_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, tau in (("a", 1), ("b", 2), ("<script>", 2)):
        make_run(Path("runs") / name, status="failed" if name == "b" else "finished")
        Path("runs", name, "overrides.txt").write_text(f"+experiment=toy\nmodel.tau={tau}\n")
    assert main(["run=[runs/a,runs/b]"]) == 0
    page = Page(Path("comparison.html").read_text())
    assert "run runs/b: failed" in page.text
    assert "model.tau" in page.text
    assert "experiment" not in page.text, "both have the same"
    curves = [json.loads(text)["data"] for text in page.charts]
    assert ["runs/a", "runs/b"] in [[trace["name"] for trace in data] for data in curves]
    assert main(["run=runs"]) == 0
    page = Page(Path("runs/report.html").read_text())
    assert "3 runs" in page.text
    assert page.tags.count("script") == len(page.charts) + 2, "ours alone"
    assert main(["run=[runs/a,runs]"]) != 0
    assert "run=runs is not a run folder" in capsys.readouterr().err


def test_samples_are_coloured_by_batch_and_agreement_and_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with np.load(folder / "predictions.npz") as file:
        arrays = dict(file)
    arrays["batch"] = np.array(["donor <1>", "donor 2"] * 30)
    arrays["cell"] = np.array([f"cell{i}" for i in range(60)])
    np.savez(folder / "predictions.npz", **arrays)
    charts = {
        trace["name"]: trace
        for text in report(folder).charts
        for trace in json.loads(text)["data"]
        if "name" in trace
    }
    assert len(charts["donor &lt;1&gt;"]["x"]) == 30
    agreed = (arrays["category"] == arrays["consensus"]).sum(0)
    assert len(charts["1 of 2 agents"]["x"]) == (agreed == 1).sum()
    assert charts["donor 2"]["text"][0].startswith("sample cell1<br>category ")


def test_a_folder_without_a_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, words in ((tmp_path, "not a run folder"), (tmp_path / "none", "is not a folder")):
        assert main([f"run={folder}"]) != 0
        error = capsys.readouterr().err
        assert re.search(words, error)
        assert "Traceback" not in error
    with pytest.raises(ValueError, match=r"no sweep\.csv"):
        write_sweep_report(tmp_path)
    assert not list(tmp_path.iterdir())


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [400, 1200])
def test_a_browser_draws_every_chart_without_an_error(tmp_path: Path, width: int) -> None:
    folder = make_run(tmp_path / "run")
    path = write_run_report(folder)
    # As a hand would: every slider to its end, and the table of values from the largest.
    moved = """<script>for (const range of document.querySelectorAll("input.steps")) {
      range.value = range.max; range.dispatchEvent(new Event("input")); }
      const head = [...document.querySelectorAll("th button")].at(-1); head.click(); head.click();
      const sorted = [...document.querySelectorAll("table")].at(-1);
      document.body.dataset.column = [...sorted.tBodies[0].rows].map((r) => r.cells[1].textContent);
      addEventListener("load", () => { document.body.dataset.unseen =
        [...document.images].filter((one) => !one.naturalWidth).length; });</script></body>"""
    path.write_text(path.read_text().replace("</body>", moved))
    command = [str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    flags = [f"--window-size={width},900", "--virtual-time-budget=8000", "--enable-logging=stderr"]
    flags.append("--host-resolver-rules=MAP * ~NOTFOUND")  # a request would be an error
    done = subprocess.run(
        [*command, *flags, f"--user-data-dir={tmp_path / 'profile'}", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=240,
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not [line for line in console if re.search("error|uncaught|refused", line, re.I)]
    charts = len(report(folder).charts)
    assert done.stdout.count('class="plot-container') == charts
    assert done.stdout.count('aria-valuetext="state 0 = 1.00"') == 1
    last = traversals(read_record(folder))[0].sources[-1]
    assert f'src="{last}"' in done.stdout, "the slider changes the picture"
    assert 'data-column="3,0.91,0.8"' in done.stdout, "the heading sorts the table of values"
    assert 'data-unseen="0"' in done.stdout, "every figure is drawn"


def test_the_plane_places_certain_samples_by_category() -> None:
    probs = np.eye(3)[[0, 0, 1, 2]][None]
    plane = category_plane(probs, np.zeros((1, 4, 2)))
    assert np.allclose(np.linalg.norm(plane, axis=1), 1)
    assert np.allclose(plane[0], plane[1])
    assert np.allclose(category_plane(probs, np.zeros((1, 4, 0))), plane)
