"""Docstrings as Sphinx reads them: plain text keeps its stars and bars."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

# Code, bold text, or a character that reStructuredText would take for markup.
TOKEN = re.compile(r"``.*?``|`[^`]*`|\*\*\w+\*\*|[*|]", re.DOTALL)
# Classes of these are described with their members; of others the constructor is what people need.
WHOLE = ("mixvae.api.", "mixvae.contracts", "mixvae.modules.base", "mixvae.modules.mixture",
         "mixvae.data.base", "mixvae.callbacks.measuring")  # fmt: skip


def setup(app: Sphinx) -> None:
    """Register the hooks; before napoleon, which reads what they leave."""
    app.connect("autodoc-process-docstring", escape, priority=400)
    app.connect("autodoc-skip-member", skip)


def escape(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape `*` and `|` outside code and bold text, and keep indented equations as they stand."""
    done: list[str] = []
    text: list[str] = []
    literal = False
    for before, line in zip(["", *lines], lines, strict=False):
        if line and not line.startswith(" "):
            literal = False
        elif line and not before and text and not _last(text).startswith(" "):
            literal = True
            text += ["::", ""]
        if literal:
            done += [*_escaped(text), line]
            text = []
        else:
            text.append(line)
    lines[:] = [*done, *_escaped(text)]


def _last(lines: list[str]) -> str:
    return next((line for line in reversed(lines) if line), "")


def _escaped(lines: list[str]) -> list[str]:
    def escaped(match: re.Match[str]) -> str:
        return match[0] if len(match[0]) > 1 else "\\" + match[0]

    return TOKEN.sub(escaped, "\n".join(lines)).split("\n") if lines else []


def skip(app: Sphinx, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out the members of a class that only its own room needs."""
    module = getattr(getattr(obj, "fget", None) or obj, "__module__", "") or ""
    return True if what == "class" and not module.startswith(WHOLE) else None
