"""Where the processes of one run meet: rank zero tells the others its folder and ends with them.

All messages go through a store of `torch.distributed`, before there is a process group. torchrun
keeps one store through all its restarts, and PyTorch 2.13 would read in it the addresses of
processes that are gone. So each process introduces itself under a name of its own, rank zero
answers by that name, and the process group lives under the session that rank zero began.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch import device, distributed
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

# For a process to reach the store.
REACH_SECONDS = 50.0
# For rank zero to hear of every process: on a cold disk, their imports take long.
ARRIVAL_SECONDS = 300.0
# A process whose run is over has so long to end by itself, and to say why.
PATIENCE_SECONDS = 20.0
# Lightning's, for all backends: rank zero may draw figures while the others wait.
COLLECTIVE = timedelta(minutes=30)
FOLDER = "mixvae/folder"
POLL_SECONDS = 0.05
PAUSE_SECONDS = 0.5
FAILED = 1


class RankError(RuntimeError):
    """Another process of the run failed or was lost."""


class Rendezvous:
    """The store, and this process's place in it."""

    def __init__(self, rank: int, world_size: int, host: str, port: int, *, hosts: bool) -> None:
        self.rank, self.world_size, self.host = rank, world_size, host
        self._store = _open_store(host, port, rank, hosts=hosts)
        self.port: int = self._store.port
        self._session = uuid.uuid4().hex
        self._answered: dict[int, str] = {}
        self._finished = threading.Event()

    def remember(self, folder: Path) -> None:
        """Note the run's folder, for rank zero of a later start by the same torchrun."""
        self._store.set(FOLDER, str(folder))

    def remembered(self) -> Path | None:
        """Return the folder that an earlier start of the same torchrun wrote to; None at first."""
        return Path(self._get(FOLDER)) if self._store.check([FOLDER]) else None

    def tell(self, message: Mapping[str, Any], check: Callable[[], None] = lambda: None) -> None:
        """Tell the other processes of the run, and wait until each has built its parts.

        Args:
            check: Called while waiting; it raises to end it.
        """
        until = time.monotonic() + ARRIVAL_SECONDS
        others = range(1, self.world_size)
        while not all(self._store.check([self._key(f"ready/{rank}")]) for rank in others):
            self._answer(message)
            check()
            if self._store.check([self._key("failed")]):
                raise RankError(f"process {self._get(self._key('failed'))} of the run failed")
            missing = [rank for rank in others if rank not in self._answered]
            if missing and time.monotonic() > until:
                raise RankError(
                    f"process {missing[0]} of {self.world_size} did not arrive at the rendezvous"
                    f" {self.host}:{self.port} within {ARRIVAL_SECONDS:.0f} s"
                )
            time.sleep(POLL_SECONDS)

    def hear(self) -> dict[str, Any]:
        """Wait for rank zero's message, for as long as it takes to prepare the run.

        Raises:
            SystemExit: If rank zero ended instead; it has said why.
        """
        name = uuid.uuid4().hex
        try:
            self._store.set(f"mixvae/hello/{self.rank}", name)
            while not self._store.check([f"mixvae/answer/{name}"]):
                time.sleep(POLL_SECONDS)
            message: dict[str, Any] = json.loads(self._get(f"mixvae/answer/{name}"))
        except RuntimeError as error:
            raise SystemExit(FAILED) from error
        self._session = message["session"]
        if "over" in message:
            self.ready()
            raise SystemExit(message["over"])
        threading.Thread(target=self._end_with_rank_zero, daemon=True).start()
        return message

    def ready(self) -> None:
        """Say that this process has built its parts."""
        self._store.set(self._key(f"ready/{self.rank}"), "")

    def begin(self, place: device) -> None:
        """Start the process group, for Lightning to find."""
        self._store.set_timeout(COLLECTIVE)
        distributed.init_process_group(
            distributed.get_default_backend_for_device(place),
            store=PrefixStore(self._session, self._store),
            rank=self.rank,
            world_size=self.world_size,
            timeout=COLLECTIVE,
            device_id=None if place.type == "cpu" else place,
        )

    def fail(self) -> None:
        """Say that this process failed, having said why."""
        self._store.set(self._key("failed"), str(self.rank))

    def finish(self) -> None:
        """Say that this process's part is done; rank zero waits for all the others'."""
        self._finished.set()
        if self.rank > 0:
            self._store.set(self._key(f"done/{self.rank}"), "")
            return
        until = time.monotonic() + PATIENCE_SECONDS
        others = [self._key(f"done/{rank}") for rank in range(1, self.world_size)]
        while not all(self._store.check([key]) for key in others) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)

    def call_off(self) -> None:
        """End the processes that wait for this one's message or train with it."""
        self._store.set(self._key("over"), "")
        self._answer({"over": FAILED})

    def lost(self) -> str:
        """Return how to name the process that broke a connection."""
        if self._store.check([self._key("failed")]):
            return f"process {self._get(self._key('failed'))} of the run failed"
        return "a process of the run was lost"

    def _answer(self, message: Mapping[str, Any]) -> None:
        content = json.dumps({"session": self._session, **message})
        for rank in range(1, self.world_size):
            key = f"mixvae/hello/{rank}"
            if self._store.check([key]) and self._answered.get(rank) != (name := self._get(key)):
                self._store.set(f"mixvae/answer/{name}", content)
                self._answered[rank] = name

    def _end_with_rank_zero(self) -> None:
        """End this process soon after rank zero ended the run, at once if it is gone."""
        # A client of its own: the other one blocks while a process group begins.
        store = _open_store(self.host, self.port, self.rank, hosts=False)
        while not self._finished.wait(1.0):
            try:
                over = store.check([self._key("over")])
            except RuntimeError:
                os._exit(FAILED)
            if over and not self._finished.wait(PATIENCE_SECONDS):
                os._exit(FAILED)

    def _get(self, key: str) -> str:
        return bytes(self._store.get(key)).decode()

    def _key(self, name: str) -> str:
        return f"mixvae/{self._session}/{name}"


def _await(host: str, port: int) -> None:
    """Wait until the port of process 0 takes connections; TCPStore may wait far beyond its timeout.

    Raises:
        RuntimeError: If it does not within `REACH_SECONDS`.
    """
    until = time.monotonic() + REACH_SECONDS
    while time.monotonic() < until:
        try:
            socket.create_connection(
                (host, port), timeout=max(until - time.monotonic(), 1.0)
            ).close()
            return
        except OSError:
            time.sleep(PAUSE_SECONDS)
    raise RuntimeError("no connection")


def _open_store(host: str, port: int, rank: int, *, hosts: bool) -> Any:
    seconds = timedelta(seconds=REACH_SECONDS)
    try:
        if not hosts:
            _await(host, port)
        return TCPStore(host, port, is_master=hosts, timeout=seconds, wait_for_workers=False)
    except RuntimeError as error:
        if hosts:
            raise ConnectionError(
                f"process 0 cannot open the rendezvous {host}:{port}; choose a free port:"
                " MASTER_PORT=..."
            ) from error
        raise ConnectionError(
            f"process {rank} cannot reach the rendezvous {host}:{port} within"
            f" {REACH_SECONDS:.0f} s; check MASTER_ADDR, MASTER_PORT and the firewall"
        ) from error
