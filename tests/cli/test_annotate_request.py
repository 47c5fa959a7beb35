"""The command line of `mixvae.annotate` is read, or refused at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixvae.cli.annotate_request import (
    ANNOTATE_HELP,
    KEYS,
    AnnotateRequest,
    parse_annotate_request,
)
from mixvae.cli.errors import UsageError

FILES = ("run=runs/a", "data.path=a.h5ad", "out=b.h5ad")


def test_every_key_is_read() -> None:
    given = parse_annotate_request(
        [
            *FILES,
            "overwrite=true",
            "checkpoint=selected",
            "agent=1",
            "data.layer=counts",
            "target_sum=1e4",
            "max_missing=0.5",
            "batch_size=7",
            "debug=true",
        ]
    )
    assert given == AnnotateRequest(
        Path("runs/a"), Path("a.h5ad"), Path("b.h5ad"), True, "selected", 1, "counts", 1e4, 0.5, 7
    )


def test_help_names_every_key() -> None:
    for key in [*KEYS, "debug"]:
        assert f"  {key}=" in ANNOTATE_HELP


WRONG = {
    "no run": (FILES[1:], "name the folder of a run"),
    "no path": ((FILES[0], FILES[2]), "name the cells: data.path=my.h5ad"),
    "empty path": ((FILES[0], "data.path=", FILES[2]), "name the cells"),
    "no out": (FILES[:2], "name the file to write: out="),
    "key": ((*FILES, "overwite=true"), "unknown key 'overwite'; did you mean 'overwrite'?"),
    "path": (("run=a", "path=b.h5ad"), "unknown key 'path'"),
    "word": (("a.h5ad",), "write key=value"),
    "bool": ((*FILES, "overwrite=yes"), "overwrite must be true or false, got 'yes'"),
    "int": ((*FILES, "agent=first"), "agent must be a whole number, got 'first'"),
    "float": ((*FILES, "max_missing=x"), "max_missing must be a number, got 'x'"),
    "share": ((*FILES, "max_missing=1.5"), "max_missing must lie between 0 and 1, got 1.5"),
    "nan": ((*FILES, "max_missing=nan"), "max_missing must lie between"),
    "size": ((*FILES, "batch_size=0"), "batch_size must be 1 or more, got 0"),
    "sum": ((*FILES, "target_sum=-1"), "target_sum must be a number above 0"),
    "checkpoint": ((*FILES, "checkpoint=worst"), "use best, last, selected"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_command_line_is_refused(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_annotate_request(arguments)
    assert message in str(refusal.value)
