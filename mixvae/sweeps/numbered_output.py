"""Output of jobs that run at the same time: whole lines, each with its job's number."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO


class NumberedLines(io.TextIOBase):
    """Passes a text on in whole lines, each behind a prefix, so that jobs do not mix.

    It is not a terminal, so no progress bar is drawn that the others' lines would break.
    """

    def __init__(self, target: TextIO, prefix: str) -> None:
        self.target, self.prefix = target, prefix
        self._line = ""

    def writable(self) -> bool:
        """Whether it can be written to."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of what it writes to."""
        return self.target.encoding

    def write(self, text: str) -> int:
        """Write the lines that are whole, and keep the rest."""
        *lines, self._line = (self._line + text).split("\n")
        if lines:
            # In one piece: another process may write meanwhile.
            self.target.write("".join(f"{self.prefix}{line}\n" for line in lines))
            self.target.flush()
        return len(text)

    def finish(self) -> None:
        """Write what is left, a line without an end."""
        if self._line:
            self.write("\n")


@contextmanager
def numbered_output(prefix: str) -> Iterator[None]:
    """Put a prefix before every line that is printed meanwhile."""
    out, err = NumberedLines(sys.stdout, prefix), NumberedLines(sys.stderr, prefix)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield
    finally:
        out.finish()
        err.finish()
