"""The command line: help, checks before anything is created, one message for an error."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig

from mixvae.cli.checked_jobs import check_values
from mixvae.cli.errors import JobsFailedError, UsageError
from mixvae.cli.help_text import train_help
from mixvae.cli.hydra_call import OWN_FOLDERS, as_hydra_sees_it, flags_of
from mixvae.cli.overrides import check_command_line, quoted, unquoted, value_of
from mixvae.cli.trust import check_kept_overrides
from mixvae.ranks import check_started_alone
from mixvae.runs.folder import free_path
from mixvae.sweeps.resuming import Command, begin, finish, resumed_command, split_resume

# What may be said beside `resume=`: all else would make another run of it.
BESIDE_RESUME = ("resume", "trainer.max_epochs", "debug")


def launch_training(arguments: Sequence[str], job: Callable[[], Any]) -> None:
    """Check the command line of `mixvae.train` and run what it asks for.

    Args:
        arguments: The command line without the program's name.
        job: The function decorated by `hydra.main`; it reads `sys.argv`.

    Raises:
        UsageError: If the command line cannot be run; then nothing was created.
    """
    if {"-h", "--help"} & set(arguments):
        print(train_help(), end="")
        return
    args = _parsed(arguments)
    shows_only = args.cfg or args.info or args.shell_completion or args.hydra_help
    if not shows_only and any(_key(line) == "resume" for line in args.overrides):
        _resume(args)
        return
    if args.multirun:
        check_started_alone("a sweep")
    stopped, overrides = split_resume(args.overrides)
    command = Command.said(args, overrides)
    if stopped is not None:
        if not args.multirun:
            raise UsageError("sweep.resume continues a sweep; add -m")
        command = resumed_command(stopped, command)
        if not overrides:
            check_kept_overrides(command.overrides)
    # Someone else's, maybe: a run's config, to repeat it, or a sweep's overrides.
    elsewhere = bool(command.flags) or (stopped is not None and not overrides)
    overrides = command.overrides + (list(OWN_FOLDERS) if command.config_name else [])
    if not shows_only:
        checked = check_command_line(
            overrides,
            multirun=args.multirun,
            config_name=command.config_name or "train",
            extra_folder=None if command.config_dir is None else Path(command.config_dir),
            trusted_only=elsewhere,
        )
        check_values(checked, multirun=args.multirun, trusted_only=elsewhere)
    flags = [*flags_of(arguments, args), *command.flags]
    if shows_only or not args.multirun:
        with as_hydra_sees_it([*flags, *overrides]):
            if shows_only or any(_key(line).startswith("hydra") for line in args.overrides):
                job()
            else:
                _run_alone(checked[0], overrides)
        return
    folder = stopped or _sweep_folder(overrides, checked[0].name)
    if stopped is None:
        begin(folder, command)
    own = [line for line in overrides if _key(line) != "hydra.sweep.dir"]
    try:
        with as_hydra_sees_it([*flags, *own, f"hydra.sweep.dir={quoted(str(folder))}"]):
            job()
    finally:
        begun = any(path.is_dir() for path in folder.iterdir())
        counts = finish(folder) if begun else {}
    _check_all_finished(counts)


def _run_alone(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Run the job that was composed for its checks; Hydra would compose it twice again."""
    from mixvae.runs.training import train

    train(cfg, [line for line in overrides if line not in OWN_FOLDERS])


def _parsed(arguments: Sequence[str]) -> Namespace:
    """Part overrides from Hydra's options, of which two are not taken."""
    parser = get_args_parser()
    parser.prog = "mixvae.train"
    args = parser.parse_intermixed_args(list(arguments))
    if args.experimental_rerun:
        raise UsageError("--experimental-rerun unpickles a file; use the run's config.yaml instead")
    if args.config_path is not None:
        raise UsageError("--config-path would leave mixvae's own configs out; use --config-dir")
    return args


def _resume(args: Namespace) -> None:
    said = {_key(line): line.partition("=")[2] for line in args.overrides}
    wrong = [key for key in said if key not in BESIDE_RESUME]
    if wrong:
        raise UsageError(
            f"resume= continues a run as it was begun, so {wrong[0]} cannot be changed;"
            f" only {', '.join(BESIDE_RESUME[1:])} may be given beside it"
        )
    if args.multirun:
        raise UsageError("resume= continues one run; leave out -m")
    max_epochs = said.get("trainer.max_epochs")
    if max_epochs is not None and not max_epochs.isdecimal():
        raise UsageError(f"trainer.max_epochs is {max_epochs!r}; it must be a whole number")
    if said["resume"] in ("", "null"):
        raise UsageError("resume needs the folder of a run: resume=runs/...")
    from mixvae.runs.training import resume

    resume(
        Path(unquoted(said["resume"])).expanduser(), None if max_epochs is None else int(max_epochs)
    )


def _key(line: str) -> str:
    return line.lstrip("+~").partition("=")[0]


def _check_all_finished(counts: Mapping[str, int]) -> None:
    """Raise where jobs of a sweep have not finished."""
    running = counts.get("running", 0)
    failed = sum(counts.values()) - counts.get("finished", 0) - running
    told = [f"{failed} of {sum(counts.values())} jobs of the sweep failed"] if failed else []
    if running:
        told.append(f"{running} of {sum(counts.values())} are run by another process")
    if told:
        raise JobsFailedError(", ".join(told))


def _sweep_folder(overrides: Sequence[str], name: str) -> Path:
    """Return the folder asked for, or one of its own, though two may start in one second."""
    for line in overrides:
        if _key(line) == "hydra.sweep.dir":
            folder = value_of(line)
            if "${" in folder:
                raise UsageError(f"{line}: write the sweep's folder out")
            return Path(folder).expanduser()
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return free_path(Path("multirun") / name / stamp)
