"""A Slurm cluster of one node, as far as submitit knows one: array tasks run one after the other.

Linked on the PATH as sbatch, srun, sacct, scontrol and squeue. What it keeps lies in FAKE_SLURM.
The first task is sent its signal, as at the end of its time, once FAKE_SLURM_SIGNAL_AT has rows.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

STATE = Path(os.environ.get("FAKE_SLURM", "."))
ARRAY_ID = "4711"
ROWS = 4


def options(script: str) -> dict[str, str]:
    """Return what a batch script asks for."""
    lines = re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", script, re.MULTILINE)
    return {key: "".join(shlex.split(value)) for key, value in lines}


def sbatch(path: str) -> None:
    """Keep the script, and run its tasks in the background."""
    text = Path(path).read_text()
    (STATE / "script.sh").write_text(text)
    command = [sys.executable, __file__, "run"]
    with (STATE / "log.txt").open("a") as log:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    print(f"Submitted batch job {ARRAY_ID}")


def run() -> None:
    """Run the tasks of the array, each again as often as it asks for."""
    asked = options((STATE / "script.sh").read_text())
    last = int(re.match(r"0-(\d+)", asked["array"])[1])
    for task in range(last + 1):
        name, starts = f"{ARRAY_ID}_{task}", 0
        while starts == 0 or (STATE / f"{name}.requeued").exists():
            (STATE / f"{name}.requeued").unlink(missing_ok=True)
            (STATE / f"{name}.starts").write_text(str(starts + 1))
            environment = {
                **os.environ,
                "SLURM_JOB_ID": str(int(ARRAY_ID) + task),
                "SLURM_ARRAY_JOB_ID": ARRAY_ID,
                "SLURM_ARRAY_TASK_ID": str(task),
                "SLURM_JOB_NAME": asked["job-name"],
                "SLURM_NTASKS": "1",
                "SLURM_RESTART_COUNT": str(starts),
            }
            process = subprocess.Popen(["bash", str(STATE / "script.sh")], env=environment)
            if task == 0 and starts == 0 and os.environ.get("FAKE_SLURM_SIGNAL_AT"):
                send(asked["signal"].partition("@")[0], process)
            process.wait()
            starts += 1
        (STATE / f"{name}.done").touch()


def send(name: str, process: subprocess.Popen[bytes]) -> None:
    """Send the signal to the step, not to the batch script, once the run is under way."""
    watched = Path(os.environ["FAKE_SLURM_SIGNAL_AT"])
    while process.poll() is None:
        if watched.is_file() and len(watched.read_text().splitlines()) > ROWS:
            os.kill(int((STATE / "step.pid").read_text()), getattr(signal, f"SIG{name}"))
            return
        time.sleep(0.02)


def srun(*arguments: str) -> None:
    """Run a step with its output in files."""
    given, files = list(arguments), {}
    while given[0].startswith("--"):
        option = given.pop(0)
        if option in ("--output", "--error"):
            files[option] = given.pop(0)
    names = {"%A": ARRAY_ID, "%a": os.environ["SLURM_ARRAY_TASK_ID"], "%t": "0"}
    for option, path in files.items():
        for mark, value in names.items():
            path = path.replace(mark, value)
        files[option] = path
    ranks = dict.fromkeys(("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"), "0")
    with open(files["--output"], "a") as out, open(files["--error"], "a") as err:
        process = subprocess.Popen(given, stdout=out, stderr=err, env={**os.environ, **ranks})
        (STATE / "step.pid").write_text(str(process.pid))
        sys.exit(process.wait())


def sacct(*arguments: str) -> None:
    """Tell the state of every task."""
    print("JobID|State|NodeList")
    for file in STATE.glob("*.done"):
        print(f"{file.stem}|COMPLETED|node1")


def scontrol(verb: str, name: str) -> None:
    """Put a task into the queue again."""
    assert verb == "requeue"
    (STATE / f"{name}.requeued").touch()


if __name__ == "__main__":
    if sys.argv[1:] == ["run"]:
        run()
    else:
        globals()[Path(sys.argv[0]).name](*sys.argv[1:])
