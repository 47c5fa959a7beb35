"""Nothing is lost: runs that are killed, time out, or find the disk full go on to the same end.

A process with everything imported is forked for every start, so that twenty kills take a minute:
`python tests/test_kills.py FOLDER` does it, in one thread.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from mixvae import files, train
from mixvae.callbacks.checkpoints import Checkpoints
from mixvae.engine import checkpoint_io, csv_logger

NUM_EPOCHS = 12
RUN = (
    "model.agents.encoder.hidden=[16,8]",
    "model.agents.decoder.hidden=[16]",
    "model.state_dim=2",
    "model.align_epochs=[2,5]",
    "augmenter=noise",
    f"trainer.max_epochs={NUM_EPOCHS}",
    "num_threads=1",
    "logger=csv",
    "~callbacks.figures",
)
NUM_KILLS = 20
Prepare = Callable[[], None]


def start(arguments: list[str], prepare: Prepare | None = None, log: str = "log.txt") -> int:
    """Run the command in a fork of this process; return the fork's id."""
    process = os.fork()
    if process:
        return process
    status = 99
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if prepare is not None:
            prepare()
        status = train.main(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def end(process: int) -> int:
    """Wait for a fork; return its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def command(folder: str) -> list[str]:
    """Start a run, or go on with one that was killed after it had begun."""
    if Path(folder, "config.yaml").is_file():
        return [f"resume={folder}"]
    return [*RUN, f"run_dir={folder}"]


def is_finished(folder: str) -> bool:
    path = Path(folder, "summary.json")
    return path.is_file() and json.loads(path.read_text())["status"] == "finished"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class HalfWritten:
    """A file that kills its process when so many bytes were written."""

    def __init__(self, file: Any, size: int) -> None:
        self.file, self.left = file, size

    def write(self, data: Any) -> int:
        """Write what still fits, and die."""
        data = bytes(data)
        self.file.write(data[: self.left])
        self.left -= len(data)
        if self.left <= 0:
            self.file.flush()
            die()
        return len(data)


def at_call(owner: Any, name: str, number: int, act: Callable[..., None]) -> Prepare:
    """Return what replaces a function by one that acts before its n-th call."""

    def prepare() -> None:
        original, calls = getattr(owner, name), iter(range(1, 10**6))

        def acting(*arguments: Any, **options: Any) -> Any:
            if next(calls) == number:
                act(*arguments, **options)
            return original(*arguments, **options)

        setattr(owner, name, acting)

    return prepare


def half_a_checkpoint(content: Any, file: Any) -> None:
    torch.save(content, HalfWritten(file, 6000))


def half_a_row(logger: Any, append: bool) -> None:
    with logger.path.open("ab") as file:
        file.write(b"3,1")
    die()


def moments(generator: random.Random) -> list[Prepare]:
    """Ways to die: while a checkpoint or a row is written, before and after it counts, between."""
    n = generator.randrange

    def replaced(*_: Any) -> None:
        die()

    return [
        at_call(checkpoint_io.torch, "save", n(1, 6), half_a_checkpoint),
        at_call(checkpoint_io.torch, "save", n(6, 14), half_a_checkpoint),
        at_call(files.os, "replace", n(1, 15), replaced),
        at_call(files.os, "replace", n(15, 30), replaced),
        at_call(checkpoint_io.os, "fsync", n(1, 12), replaced),
        at_call(csv_logger.CsvLogger, "_write_tail", n(1, 9), half_a_row),
        at_call(csv_logger.CsvLogger, "_write_tail", n(9, 20), half_a_row),
        at_call(Checkpoints, "on_train_epoch_start", n(1, 6), replaced),
        at_call(Checkpoints, "on_train_epoch_start", n(6, 12), replaced),
    ]


def kill_by_the_clock(folder: str, seconds: float) -> bool:
    """Start or go on, and kill after so long; whether it was still running."""
    process = start(command(folder))
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    return end(process) == -signal.SIGKILL


def kill_at(folder: str, prepare: Prepare) -> bool:
    """Start or go on, and let it die at its moment; whether it came to that."""
    return end(start(command(folder), prepare)) == -signal.SIGKILL


def differences(folder: str, whole: str) -> list[str]:
    """What a run has otherwise than one that nobody stopped."""
    found = [
        name
        for name in ("metrics.csv", "predictions.csv")
        if Path(folder, name).read_bytes() != Path(whole, name).read_bytes()
    ]
    for name in ("last", "best"):
        first, second = (
            torch.load(Path(each, "checkpoints", f"{name}.ckpt"), weights_only=True)["state_dict"]
            for each in (folder, whole)
        )
        if not all(torch.equal(value, second[key]) for key, value in first.items()):
            found.append(name)
    summaries = [json.loads(Path(each, "summary.json").read_text()) for each in (folder, whole)]
    for summary in summaries:
        summary.pop("seconds")
    first, second = summaries
    return found + [
        f"{key}: {first.get(key)} instead of {second.get(key)}"
        for key in first | second
        if first.get(key) != second.get(key)
    ]


def kill_twenty() -> None:
    """Kill runs twice each, by the clock and at a moment, and go on to the end of each."""
    generator = random.Random(0)
    started = time.monotonic()
    assert end(start(command("whole"))) == 0, Path("log.txt").read_text()
    seconds = time.monotonic() - started
    at_moments, number, kills, survived = moments(generator), 0, 0, 0
    while kills < NUM_KILLS:
        folder, happened = f"run{number}", 0
        # A run that had ended before the clock ran out, or has no such moment left, is no kill.
        while happened < 2 and kills + happened < NUM_KILLS and not is_finished(folder):
            if number >= len(at_moments) or number % 2 == happened % 2:
                happened += kill_by_the_clock(folder, generator.uniform(0.05, 0.6) * seconds)
            else:
                happened += kill_at(folder, at_moments[number])
        while not is_finished(folder):
            assert end(start(command(folder))) == 0, Path("log.txt").read_text()
        different = differences(folder, "whole")
        print(f"{folder}: {happened} kills, other than whole: {different}", flush=True)
        kills, survived = kills + happened, survived + happened * (not different)
        shutil.rmtree(folder)
        number += 1
    print(f"kills survived: {survived} of {kills}")


def stop_by(number: int) -> None:
    """Send a signal in the middle, and go on."""
    assert end(start(command("whole"))) == 0
    process = start(command("part"), log="part.txt")
    while not Path("part.txt").is_file() or "epoch 3/" not in Path("part.txt").read_text():
        time.sleep(0.01)
    os.kill(process, number)
    print("status", end(process), json.loads(Path("part/summary.json").read_text())["status"])
    print(Path("part.txt").read_text())
    assert end(start(command("part"))) == 0
    print("differing:", differences("part", "whole"))


def fill(folder: str, prepare: Prepare, repair: Prepare) -> None:
    """Let writing fail half-way, and go on when it works again."""
    assert end(start(command("whole"))) == 0
    status = end(start(command(folder), prepare))
    print("status", status)
    print("log:", Path("log.txt").read_text())
    repair()
    print("left:", sorted(path.name for path in Path(folder, "checkpoints").iterdir()))
    assert torch.load(Path(folder, "checkpoints/last.ckpt"), weights_only=True)["epoch"] > 0
    assert end(start(command(folder))) == 0, Path("log.txt").read_text()
    print("differing:", differences(folder, "whole"))


def limit_files(*_: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (7000, resource.RLIM_INFINITY))


def take_all_space(*_: Any) -> None:
    """Leave no byte of the disk that the run is on."""
    with open("disk/rest", "wb", buffering=0) as file:
        while True:
            try:
                file.write(b"0" * 4096)
            except OSError:
                return


def forbid_writing(*_: Any) -> None:
    """Replace the folder of the checkpoints by a file, which also stops root."""
    Path("part/checkpoints").rename("part/away")
    Path("part/checkpoints").write_text("in the way")


def allow_writing() -> None:
    Path("part/checkpoints").unlink()
    Path("part/away").rename("part/checkpoints")


def act(what: str) -> None:
    torch.set_num_threads(1)
    half = NUM_EPOCHS // 2
    if what == "kills":
        kill_twenty()
    elif what == "limit":
        fill("part", at_call(checkpoint_io.torch, "save", half, limit_files), lambda: None)
    elif what == "full":
        prepare = at_call(checkpoint_io.torch, "save", half, take_all_space)
        fill("disk/part", prepare, Path("disk/rest").unlink)
    elif what == "taken":
        prepare = at_call(Checkpoints, "on_train_epoch_start", half, forbid_writing)
        fill("part", prepare, allow_writing)
    else:
        stop_by(getattr(signal, what))


def trial(what: str, folder: Path, repo_root: Path) -> str:
    """Do a trial in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, __file__, what],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(repo_root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_twenty_kills_lose_nothing(tmp_path: Path, repo_root: Path) -> None:
    told = trial("kills", tmp_path, repo_root)
    print(told)
    assert "kills survived: 20 of 20" in told


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_time_limit_saves_and_ends_cleanly(name: str, tmp_path: Path, repo_root: Path) -> None:
    told = trial(name, tmp_path, repo_root)
    assert told.startswith("status 143 interrupted")
    assert told.count("to continue: python -m mixvae.train resume=part") == 1
    assert "Traceback" not in told
    assert told.endswith("differing: []\n")


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """Mount a small disk of its own."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["limit", "taken", "full"])
def test_a_folder_that_takes_no_more_is_one_error(
    what: str, tmp_path: Path, repo_root: Path
) -> None:
    with disk(tmp_path / "disk") if what == "full" else nullcontext():
        told = trial(what, tmp_path, repo_root)
    assert told.startswith("status 1\n")
    assert told.count("error: ") == 1
    assert ".ckpt cannot be written: " in told
    assert ("No space left" in told) == (what == "full")
    assert "Traceback" not in told
    assert "left: ['best.ckpt', 'last.ckpt']" in told
    assert told.endswith("differing: []\n")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_a_server_that_cannot_be_reached_costs_seconds(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    few = [word.replace(str(NUM_EPOCHS), "1") for word in RUN if word != "logger=csv"]

    def seconds(*arguments: str) -> float:
        started = time.monotonic()
        assert train.main([*few, *arguments]) == 0
        return time.monotonic() - started

    seconds("run_dir=warm")
    offline = seconds("run_dir=offline", "logger.wandb.mode=offline")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if kind == "closed":
            server.close()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        online = seconds("run_dir=online", "logger.wandb.mode=online")
        monkeypatch.delenv("WANDB_MODE")
        automatic = seconds("run_dir=auto")
    print(f"{kind} server: {online - offline:.1f} s more, {automatic - offline:.1f} s by itself")
    assert max(online, automatic) - offline < 8
    assert threading.active_count() < 10


if __name__ == "__main__":
    act(sys.argv[1])
