from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

from mixvae import sweep
from mixvae.engine import wandb_logger
from mixvae.engine.dashboards import read_dashboard
from mixvae.engine.wandb_logger import WandbRun, answers, choose_mode, has_login
from mixvae.runs.recording import display_name
from tests.stopping import StopAt, stopping

BLOCK = 32768
CONF = Path(__file__).parents[2] / "conf"


def files(folder: Path) -> list[Path]:
    """Return what W&B wrote in a run folder, one file for each time that the run went on."""
    found = (folder / "wandb").glob("offline-run-*/*.wandb")
    return sorted(found, key=lambda path: path.stat().st_ctime_ns)


def records(path: Path) -> Iterator[Any]:
    """Yield what W&B wrote of an offline run: LevelDB's log format, after 7 bytes of header."""
    content, position, parts = path.read_bytes(), 7, b""
    while position + 7 <= len(content):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        if position + 7 + length > len(content):
            return  # W&B's process is still writing this part
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # the whole of a record, or its end
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def read_back(path: Path, seconds: float = 20.0) -> dict[str, Any]:
    """Read a run, from its folder or file, once W&B's own process has written all of it."""
    if path.is_dir():
        (path,) = files(path)
    end = time.monotonic() + seconds
    while True:
        found = gather(path)
        if found["exit"] is not None or time.monotonic() > end:
            return found
        time.sleep(0.05)


def gather(path: Path) -> dict[str, Any]:
    """Gather an offline run's identity, config, summary and the last of its history."""
    found: dict[str, Any] = {
        "config": {},
        "summary": {},
        "history": {},
        "metrics": {},
        "artifacts": [],
        "exit": None,
    }
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found |= {"id": record.run.run_id, "group": record.run.run_group}
            found |= {"tags": list(record.run.tags), "name": record.run.display_name}
            found["project"] = record.run.project
            found |= {"job_type": record.run.job_type, "notes": record.run.notes}
            found["config"] |= _items(record.run.config.update)
        elif kind == "config":
            found["config"] |= _items(record.config.update)
        elif kind == "summary":
            found["summary"] |= _items(record.summary.update)
        elif kind == "history":
            found["history"] |= _items(record.history.item)
        elif kind == "metric":
            name = record.metric.name or record.metric.glob_name
            found["metrics"][name] = record.metric
        elif kind == "artifact":
            found["artifacts"].append(record.artifact.name)
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    return found


def _items(updates: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in updates}


@pytest.fixture
def tiny(small: tuple[str, ...]) -> list[str]:
    """A small run that logs to W&B and draws its pictures."""
    own = [line for line in small if not re.search("logger|figures|report", line)]
    return [*own, "trainer.max_epochs=1", "model.state_dim=1"]


def test_an_offline_run_holds_config_tags_summary_and_pictures(
    train: Callable[..., Any], tiny: list[str], tmp_path: Path, read_json: Callable[..., Any]
) -> None:
    more = ["logger.wandb.notes=a first try", "logger.wandb.log_checkpoint=true"]
    outcome = train(*tiny, "run_dir=a", "tags=[try,small]", "name=mine", "seed=4", *more)
    assert outcome.status == 0, outcome.err
    folder = tmp_path / "a"
    # How to sync is said once, and nothing else is said.
    (told,) = [line for line in outcome.out.splitlines() if "wandb sync" in line]
    assert list((tmp_path / told.split("wandb sync ")[1]).glob("*.wandb"))
    assert "wandb:" not in outcome.out + outcome.err
    found = read_back(folder)
    assert found["name"].startswith("mine ")
    assert found["name"].endswith("state_dim=1 max_epochs=1 seed=4")
    assert "seed=4" in found["config"]["run"]["overrides"]
    assert found["config"]["run"]["num_parameters"] > 0
    assert "train 1293" in found["config"]["run"]["data_sizes"]
    assert found["metrics"]["*"].step_metric == "epoch"
    assert found["metrics"]["test/*"].options.hidden
    of_agents = {name for name in found["history"] if name.endswith("/agent0")}
    assert of_agents
    assert all(found["metrics"][name].options.hidden for name in of_agents if "test/" not in name)
    assert 15 <= len(charts_shown(found)) <= 25
    assert found["project"] == "mixvae"
    assert set(found["tags"]) == {"small", "try"}
    assert found["id"] == read_json(folder / "provenance.json")["id"]
    assert found["config"]["seed"] == 4
    assert found["config"]["model"]["num_categories"] == 10
    assert found["config"]["data"]["seed"] == 4
    assert found["exit"] == 0
    summary = read_json(folder / "summary.json")
    for name in ("test/accuracy", "train/loss"):
        assert found["summary"][name] == pytest.approx(summary[name])
    assert found["summary"]["val/loss"]["last"] == pytest.approx(summary["val/loss"])
    assert found["summary"]["val/loss"]["min"] <= summary["val/loss"]
    assert found["summary"]["val/accuracy"]["max"] == pytest.approx(summary["val/accuracy"])
    assert found["job_type"] == "train"
    assert found["notes"] == "a first try"
    for table, rows in (("predictions", 360), ("confusion", None)):
        assert found["history"][f"tables/{table}/_type"] == "table-file"
        assert rows in (None, found["history"][f"tables/{table}/nrows"])
    drawn_charts = read_dashboard(CONF / "dashboard/mixtures.yaml")["sections"].values()
    wanted = {name for charts in drawn_charts for chart in charts for name in chart.get("y", ())}
    ours = {"train/consistency", "train/adversarial", "train/information"}  # of other experiments
    assert wanted - ours <= {*found["history"], *summary}, "charts of metrics that nobody logs"
    milestones = {"consensus_matrix_epoch1.png", "category_label_table_epoch1.png"}
    assert {path.name for path in (folder / "figures/milestones").iterdir()} == milestones
    (file,) = files(folder)
    histories = [
        _items(record.history.item)
        for record in records(file)
        if record.WhichOneof("record_type") == "history"
    ]
    pictures = [one for one in histories if "milestones/consensus_matrix/_type" in one]
    assert [one["epoch"] for one in pictures] == [0], "the slider's epoch, not the one before"
    assert f"model-{found['id']}" in found["artifacts"]
    assert found["summary"]["status"] == "finished"
    assert found["history"]["figures/learning_curves/_type"] == "images/separated"
    (file,) = found["history"]["figures/learning_curves/filenames"]
    assert list((folder / "wandb").glob(f"offline-run-*/files/{file}"))
    media = list((folder / "wandb").glob("offline-run-*/files/media/images/figures/*.png"))
    drawn = {path.stem for path in (folder / "figures").glob("*.png")}
    assert {path.name.rsplit("_", 2)[0] for path in media} == drawn
    assert wandb.run is None


def charts_shown(found: dict[str, Any]) -> set[str]:
    """Metrics of the history that W&B draws unasked."""
    drawn = {name for name, value in found["history"].items() if isinstance(value, int | float)}
    media = ("_", "figures/", "milestones/", "tables/", "test/", "epoch")
    hidden = {name for name, metric in found["metrics"].items() if metric.options.hidden}
    return {name for name in drawn - hidden if not name.startswith(media)}


def test_modalities_share_their_charts(tmp_path: Path) -> None:
    logger = WandbRun(save_dir=str(tmp_path), mode="offline")
    measures = ["probe_accuracy", "coherence", "reconstruction", "private_r2", "self_coherence"]
    parts = [f"val/{name}/rat{rat}" for name in measures for rat in range(8)]
    whole = [f"val/{name}" for name in measures] + ["train/loss"]
    logger.log_metrics(dict.fromkeys([*whole, *parts], 1.0), step=3)
    logger.finish({"status": "finished"}, failed=False)
    assert charts_shown(read_back(tmp_path)) == set(whole)


def test_a_name_tells_the_runs_of_an_experiment_apart() -> None:
    overrides = ["+experiment=digits_cpl", "model.state_dim=5", "run_dir=a", "augmenter=noise"]
    assert display_name("digits_cpl", [*overrides, "seed=2"], 2) == (
        "digits_cpl state_dim=5 augmenter=noise seed=2"
    )


@pytest.mark.slow
def test_a_resumed_job_of_a_sweep_goes_on_with_its_own_run_in_its_group(
    train: Callable[..., Any],
    tiny: list[str],
    tmp_path: Path,
    read_json: Callable[..., Any],
) -> None:
    command = ["-m", *tiny, "trainer.max_epochs=2", "~callbacks.figures", "seed=0,1"]
    with stopping(StopAt("on_train_batch_end", 1)):
        assert train(*command, "hydra.sweep.dir=sweep").status == 130
    outcome = train("-m", "sweep.resume=sweep")
    assert outcome.status == 0, outcome.err
    first, again = map(read_back, files(tmp_path / "sweep" / "0"))
    (other,) = map(read_back, files(tmp_path / "sweep" / "1"))
    assert first["id"] == again["id"] == read_json(tmp_path / "sweep/0/provenance.json")["id"]
    assert other["id"] != first["id"]
    assert {item["group"] for item in (first, again, other)} == {"sweep"}
    assert [item["config"]["seed"] for item in (first, other)] == [0, 1]
    assert first["exit"] is not None
    assert first["summary"]["status"] == "interrupted"
    assert again["summary"]["status"] == other["summary"]["status"] == "finished"
    assert again["exit"] == other["exit"] == 0


@pytest.mark.slow
def test_every_run_of_a_search_is_one_of_its_group_and_a_pruned_one_has_not_failed(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("optuna.trial.Trial.should_prune", lambda trial: trial.number == 1)
    (tmp_path / "mine.yaml").write_text(
        "num_trials: 2\nspace:\n  model.tau: {type: float, low: 0.5, high: 2.0}\n"
    )
    assert sweep.main(["search=mine.yaml", *tiny, "~callbacks.figures"]) == 0
    found = [read_back(tmp_path / "multirun" / "search" / "mine" / job) for job in "01"]
    assert [item["group"] for item in found] == ["mine", "mine"]
    assert [item["summary"]["status"] for item in found] == ["finished", "pruned"]
    assert [item["exit"] for item in found] == [0, 0]


def test_a_failed_run_is_marked(train: Callable[..., Any], tiny: list[str], tmp_path: Path) -> None:
    wrong = ("model.optimizer.lr=1e30", "trainer.max_epochs=2", "~callbacks.figures")
    outcome = train(*tiny, "run_dir=a", *wrong)
    assert outcome.status == 1
    assert read_back(tmp_path / "a")["exit"] == 1
    assert wandb.run is None


def test_wandb_alone_and_switched_off(
    train: Callable[..., Any], tiny: list[str], tmp_path: Path
) -> None:
    arguments = (*tiny, "~callbacks.figures", "logger=wandb")
    assert train(*arguments, "run_dir=a").status == 0
    assert (tmp_path / "a" / "metrics.csv").exists()
    assert train(*arguments, "run_dir=b", "logger.wandb.mode=disabled").status == 0
    assert not (tmp_path / "b" / "wandb").exists()


@pytest.fixture
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No login, no mode asked for; returns where a netrc would be."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return tmp_path / "netrc"


@pytest.mark.parametrize("login", ["none", "key", "netrc"])
@pytest.mark.parametrize("network", [False, True])
def test_it_is_online_with_a_login_and_a_network(
    no_account: Path, monkeypatch: pytest.MonkeyPatch, login: str, network: bool
) -> None:
    monkeypatch.setattr(wandb_logger, "answers", lambda server: network)
    if login == "key":
        monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    if login == "netrc":
        no_account.write_text("machine api.wandb.ai login user password secret\n")
        no_account.chmod(0o600)
    expected = "online" if network and login != "none" else "offline"
    assert choose_mode("auto") == expected


@pytest.mark.parametrize("mode", ["online", "offline", "disabled"])
def test_a_mode_that_was_asked_for_is_taken(
    no_account: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(wandb_logger, "answers", lambda server: True)
    assert choose_mode(mode) == mode
    monkeypatch.setenv("WANDB_MODE", mode)
    assert choose_mode("auto") == mode


def test_a_login_is_found_per_server(no_account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_login("https://api.wandb.ai")
    no_account.write_text("machine my.server login user password secret\n")
    no_account.chmod(0o600)
    assert has_login("https://my.server:8080")
    assert not has_login("https://api.wandb.ai")
    no_account.write_text("no netrc at all")
    assert not has_login("https://my.server")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert has_login("https://api.wandb.ai")


def test_a_server_that_answers_is_told_from_one_that_does_not(no_account: Path) -> None:
    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        assert answers(address)
        # Now it takes connections, and says nothing.
        for scheme in ("http", "https"):
            assert not answers(address.replace("http", scheme), seconds=0.2)
    assert not answers(address)


def test_a_network_that_hangs_costs_little(
    no_account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()

    def hang(*arguments: Any, **options: Any) -> None:
        answered.wait(30)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", hang)
    started = time.monotonic()
    assert not answers("https://api.wandb.ai", seconds=0.2)
    assert time.monotonic() - started < 10
    answered.set()


def test_a_server_that_fails_leaves_the_run_offline(
    no_account: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(wandb_logger, "choose_mode", lambda mode: "online")
    init = wandb.init

    def init_or_fail(**arguments: Any) -> Any:
        if arguments["mode"] == "online":
            raise wandb.errors.CommError("no answer")
        return init(**arguments)

    monkeypatch.setattr(wandb, "init", init_or_fail)
    logger = WandbRun(save_dir=str(tmp_path))
    logger.log_metrics({"a": 1.0}, step=0)
    assert logger.sync_folder is not None
    logger.finish({"status": "finished"}, failed=False)
    assert read_back(tmp_path)["summary"]["a"] == 1.0
