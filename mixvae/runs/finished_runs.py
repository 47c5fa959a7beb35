"""Command lines that use a finished run: `mixvae.evaluate`, `annotate` and `impute`."""

from __future__ import annotations

from collections.abc import Sequence

from mixvae.cli.annotate_request import ANNOTATE_HELP, parse_annotate_request
from mixvae.cli.help_text import EVALUATE_HELP
from mixvae.cli.impute_request import IMPUTE_HELP, parse_impute_request
from mixvae.cli.request import parse_request

# PyTorch is imported inside of the functions, after a wrong command line has been refused.


def launch_evaluation(arguments: Sequence[str]) -> None:
    """Run what the command line of `mixvae.evaluate` asks for.

    Args:
        arguments: The command line without the program's name.

    Raises:
        UsageError: If it cannot be run.
    """
    if _was_help(arguments, EVALUATE_HELP):
        return
    request = parse_request(arguments)
    from mixvae.runs.evaluating import evaluate

    evaluate(request)


def launch_annotation(arguments: Sequence[str]) -> None:
    """Run what the command line of `mixvae.annotate` asks for, see `launch_evaluation`."""
    if _was_help(arguments, ANNOTATE_HELP):
        return
    request = parse_annotate_request(arguments)
    from mixvae.runs.annotating import annotate

    annotate(request)


def launch_imputation(arguments: Sequence[str]) -> None:
    """Run what the command line of `mixvae.impute` asks for, see `launch_evaluation`."""
    if _was_help(arguments, IMPUTE_HELP):
        return
    request = parse_impute_request(arguments)
    from mixvae.runs.imputing import impute

    impute(request)


def _was_help(arguments: Sequence[str], text: str) -> bool:
    """Print the help where it is asked for, and say so."""
    asked = bool({"-h", "--help"} & set(arguments))
    if asked:
        print(text, end="")
    return asked
