"""Weights & Biases: online if the server answers, else offline; it never delays a run for long."""

from __future__ import annotations

import netrc
import os
import re
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import wandb
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from mixvae.engine.cluster import process_rank

Mode = Literal["auto", "online", "offline", "disabled"]
MODES: tuple[str, ...] = get_args(Mode)
PROBE_SECONDS = 3.0
INIT_SECONDS = 8.0
FINISH_SECONDS = 30.0
LONGEST_NAME = 128
# Of a single agent or modality, or another form of a metric with a chart. A chart for each would
# hide the others; metrics.csv, the table of runs and dashboards have them.
WITHOUT_CHART = re.compile(
    r"[^/]+/[^/]+/.+|trainer/.+|val/(collapse_warning|entropy_fraction|populated_by_agents)"
)
# Whose best value the table of runs shows beside the last one: `val/loss.min`, `val/loss.last`.
BEST = {
    **dict.fromkeys(("val/loss", "val/reconstruction", "val/imputation"), "min"),
    **dict.fromkeys(("val/consensus", "val/accuracy", "val/nmi", "val/ari"), "max"),
}


class WandbRun(WandbLogger):
    """One W&B run whose files lie in the run folder.

    Args:
        name: Name of the run; null: what `identify` is given.
        save_dir: Folder that W&B's own folder `wandb` goes into.
        group: Group that the run belongs to; null: the sweep's name, if it is part of one.
        entity: W&B team or user; null: the login's own.
        notes: Text beside the run; null: none.
        log_checkpoint: Whether to store the tested checkpoint as an artifact, `model-<run id>`.
        mode: `auto` obeys WANDB_MODE, and else is `online` only if there is a login and the
            server answers within seconds.
    """

    def __init__(
        self,
        project: str = "mixvae",
        name: str | None = None,
        save_dir: str = ".",
        tags: Sequence[str] = (),
        group: str | None = None,
        entity: str | None = None,
        notes: str | None = None,
        log_checkpoint: bool = False,
        mode: Mode = "auto",
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"logger.wandb.mode is {mode!r}; use one of {', '.join(MODES)}")
        super().__init__(
            project=project,
            name=name,
            save_dir=save_dir,
            tags=list(tags),
            group=group,
            entity=entity,
            notes=notes,
            job_type="train",
            settings=_settings(),
        )
        # Lightning passes it on unasked, and W&B warns of it.
        self._wandb_init.pop("anonymous", None)
        self._mode = mode
        self._log_checkpoint = log_checkpoint
        self.sync_folder: Path | None = None
        self._charts_hidden: set[str] = set()

    def identify(self, run_id: str, group: str | None, name: str) -> None:
        """Set id and, if the config has none, group and name; a resumed run keeps its W&B run."""
        # `wandb agent` names its runs itself.
        if os.environ.get("WANDB_SWEEP_ID") and os.environ.get("WANDB_RUN_ID"):
            run_id = os.environ["WANDB_RUN_ID"]
        self._wandb_init["id"] = self._id = run_id
        self._wandb_init["group"] = self._wandb_init["group"] or group
        if self._wandb_init["name"] is None:
            self._wandb_init["name"] = self._name = name[:LONGEST_NAME]

    @property
    def experiment(self) -> Any:
        """The W&B run, started at the first use."""
        if self._experiment is None and process_rank() == 0:
            mode = choose_mode(self._mode)
            self._wandb_init["mode"] = mode
            # Offline, W&B would only warn that it cannot resume.
            self._wandb_init["resume"] = "allow" if mode == "online" else None
            try:
                run = super().experiment
            except (wandb.Error, OSError):
                if mode != "online":
                    raise
                self._wandb_init |= {"mode": "offline", "resume": None}
                run = super().experiment
            if run.settings.mode == "offline":
                self.sync_folder = Path(run.dir).parent
            if hasattr(run, "define_metric"):  # a disabled run has no charts
                _define_charts(run)
        return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics; those of single agents and modalities get no chart of their own."""
        names = {"trainer/global_step", *metrics}  # which Lightning adds
        for name in set(filter(WITHOUT_CHART.fullmatch, names)) - self._charts_hidden:
            self._charts_hidden.add(name)
            if hasattr(self.experiment, "define_metric"):
                self.experiment.define_metric(name, step_metric="epoch", hidden=True)
        super().log_metrics(metrics, step)

    @rank_zero_only
    def log_image(
        self, key: str, images: list[Any], step: int | None = None, **options: Any
    ) -> None:
        """Log pictures at an epoch, so that W&B's slider over epochs finds them."""
        pictures = [wandb.Image(image, **options) for image in images]
        self.experiment.log({key: pictures} | ({} if step is None else {"epoch": step}))

    @rank_zero_only
    def finish(self, summary: Mapping[str, Any], *, failed: bool) -> None:
        """Write the summary and end the run; the process can start another one."""
        if self._experiment is None:
            return
        plain = {
            name: value for name, value in summary.items() if value is not None and name not in BEST
        }
        self._experiment.summary.update(plain)
        if self._log_checkpoint and summary.get("tested_checkpoint"):
            self._store(Path(str(self.save_dir)) / str(summary["tested_checkpoint"]))
        self._experiment.finish(exit_code=int(failed))
        self._experiment = None

    def _store(self, checkpoint: Path) -> None:
        """Store a checkpoint as an artifact of the run."""
        artifact = wandb.Artifact(f"model-{self._id}", type="model")
        artifact.add_file(str(checkpoint), policy="immutable")
        self.experiment.log_artifact(artifact)


def _define_charts(run: Any) -> None:
    """Draw metrics over epochs, and none of the test values, which are single points."""
    run.define_metric("epoch", hidden=True)
    run.define_metric("*", step_metric="epoch", step_sync=True)
    for name, best in BEST.items():
        run.define_metric(name, step_metric="epoch", step_sync=True, summary=f"{best},last")
    run.define_metric("test/*", step_metric="epoch", step_sync=True, hidden=True)


def _settings() -> wandb.Settings:
    """Return settings with which W&B neither speaks nor waits for long."""
    settings = wandb.Settings(silent=True, console="off", init_timeout=INIT_SECONDS)
    # Newer versions stop waiting for an upload; what is left can be sent by `wandb sync`.
    if "finish_timeout" in wandb.Settings.model_fields:
        settings.finish_timeout = FINISH_SECONDS
    return settings


def choose_mode(mode: str) -> str:
    """Return the mode to start W&B in; `online` becomes offline if the server does not answer."""
    asked = os.environ.get("WANDB_MODE", "").lower() if mode == "auto" else mode
    if asked and asked != "online":
        return "offline" if asked == "dryrun" else asked
    server = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    # If `online` was asked for without a login, W&B says so.
    return "online" if (asked or has_login(server)) and answers(server) else "offline"


def has_login(server: str) -> bool:
    """Whether there is a key for the server, so that W&B would not ask for one."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(server).hostname or ""
    default = Path.home() / ("_netrc" if os.name == "nt" else ".netrc")
    path = os.environ.get("NETRC") or default
    try:
        return host in netrc.netrc(path).hosts
    except (OSError, netrc.NetrcParseError):
        return False


def answers(server: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether the server, or the proxy in front of it, answers in time, name look-up included."""
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    url = urlsplit(proxy or server)
    port = url.port or (80 if url.scheme == "http" else 443)
    reached = threading.Event()

    def connect() -> None:
        place = (url.hostname or "", port)
        try:
            with socket.create_connection(place, timeout=seconds) as connection:
                if proxy is None:
                    _exchange(connection, url.hostname or "", secure=url.scheme == "https")
        except OSError:
            return
        reached.set()

    # A thread, since the look-up of a name has no time limit of its own.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(seconds)
    return reached.is_set()


def _exchange(connection: socket.socket, host: str, *, secure: bool) -> None:
    """Receive a byte: a server may accept connections and then stay silent."""
    if secure:
        # The handshake is an answer; W&B checks the certificate.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.wrap_socket(connection, server_hostname=host).close()
        return
    connection.sendall(f"HEAD / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
    if not connection.recv(1):
        raise ConnectionError(f"{host} closed the connection")
