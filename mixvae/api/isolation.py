"""Leaves the process as it was: random states, threads, warnings, environment, handlers."""

from __future__ import annotations

import logging
import random
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton
from hydra.errors import InstantiationException

from mixvae.cli.errors import INTERRUPTED
from mixvae.starting import environment_restorer

# Runs seed the whole process, so one at a time: another thread's call waits.
_ONE_AT_A_TIME = threading.RLock()
LOGGERS = ("", "mixvae", "lightning", "lightning.pytorch", "lightning.fabric", "wandb")
SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")


@contextmanager
def undisturbed() -> Iterator[None]:
    """Restore at the end whatever a run changes of its process; errors are those of their cause.

    An interrupted run raises KeyboardInterrupt, after its summary was written.
    """
    import lightning.pytorch  # noqa: F401  # adds its loggers' handlers when it is first imported

    with _ONE_AT_A_TIME, ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        for restore in (
            *_torch_settings(),
            _random_states(),
            environment_restorer(),
            _loggers(),
            _signals(),
            _hydra(),
        ):
            stack.callback(restore)
        # A run's numbers do not depend on what the caller has set.
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        stack.enter_context(np.errstate(all="warn", under="ignore"))
        try:
            yield
        except InstantiationException as error:
            cause: BaseException = error
            while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
                cause = cause.__cause__
            raise cause from None
        except SystemExit as stop:
            if stop.code == INTERRUPTED:
                raise KeyboardInterrupt from stop
            raise


def _torch_settings() -> list[Callable[[], None]]:
    settings: Any = [
        (torch.set_num_threads, torch.get_num_threads()),
        (torch.set_default_dtype, torch.get_default_dtype()),
        (torch.set_grad_enabled, torch.is_grad_enabled()),
        (torch.set_float32_matmul_precision, torch.get_float32_matmul_precision()),
    ]
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fills = torch.utils.deterministic
    filled = fills.fill_uninitialized_memory  # type: ignore[attr-defined]
    cudnn = torch.backends.cudnn
    flags = {name: getattr(cudnn, name) for name in ("benchmark", "deterministic")}

    def restore() -> None:
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        fills.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
        for name, value in flags.items():
            setattr(cudnn, name, value)

    return [restore, *(_later(change, value) for change, value in settings)]


def _random_states() -> Callable[[], None]:
    python, array, tensor = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(array)
        torch.set_rng_state(tensor)
        if gpus is not None:
            torch.cuda.set_rng_state_all(gpus)

    return restore


def _loggers() -> Callable[[], None]:
    found = [logging.getLogger(name) for name in LOGGERS]
    found.append(logging.getLogger("lightning.pytorch.profilers.profiler"))
    before = [(item, item.level, list(item.handlers), item.propagate) for item in found]

    def restore() -> None:
        for logger, level, handlers, propagate in before:
            logger.setLevel(level)
            logger.handlers[:], logger.propagate = handlers, propagate

    return restore


def _signals() -> Callable[[], None]:
    """Handlers, which only the main thread may change, and so a run in another one does not."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    found = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in found}

    def restore() -> None:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    return restore


def _hydra() -> Callable[[], None]:
    """Hydra's own state: the caller may be a Hydra application."""
    before = Singleton.get_state()
    GlobalHydra.instance().clear()
    return _later(Singleton.set_state, before)


def _later(change: Callable[[Any], Any], value: Any) -> Callable[[], None]:
    def restore() -> None:
        change(value)

    return restore
