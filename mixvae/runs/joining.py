"""A further process of a run on several devices, started by the first; see `ranks`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

from mixvae.cli.errors import FAILED, message_of

# The first process most often fails of the same, tells it, and ends this one before that.
SILENT_SECONDS = 3.0


def main(arguments: Sequence[str]) -> int:
    """Take part in a run, and speak only of an error that is this process's alone.

    Args:
        arguments: The run's folder, and `resumed` if it goes on from its last checkpoint.

    Returns:
        The exit status.
    """
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # Ctrl-C and a scheduler's signals may reach all processes; the first decides what they mean.
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    # What there is to warn of, the first process says.
    warnings.simplefilter("ignore")
    from mixvae.runs.training import RESUMED, join

    try:
        join(Path(arguments[0]), resumed=RESUMED in arguments[1:])
    except Exception as error:
        time.sleep(SILENT_SECONDS)
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exception(error)
        rank = os.environ["LOCAL_RANK"]
        print(f"error in process {rank}: {message_of(error)}", file=sys.stderr, flush=True)
        return FAILED
    return 0


def _end_with(parent: int) -> None:
    """End this process when the first one is gone, however that ended."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(FAILED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
