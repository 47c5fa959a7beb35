from __future__ import annotations

from pathlib import Path

from mixvae.cli.help_text import purpose, train_help
from mixvae.cli.schema import NOT_COMPOSED, RunConfig, conf_dir


def test_the_help_names_every_group_option_purpose_and_key() -> None:
    text = " ".join(train_help().split())
    for file in conf_dir().glob("*/*.yaml"):
        if file.parent.name in NOT_COMPOSED:
            continue
        assert f" {file.stem} {purpose(file)}" in text
        assert f"{file.parent.name}=..." in text
    for name in RunConfig.__dataclass_fields__:
        assert name in text
    assert "+experiment=..." in text
    # Sentences that take two lines of the docstring are whole.
    assert "several times faster) or `medium` (bf16)." in text
    assert "`last`, or `selected` by `callbacks.pruning`." in text


def test_lines_fit_a_terminal() -> None:
    assert max(map(len, train_help().splitlines())) <= 100


def test_a_purpose_is_the_first_such_comment(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("# @package _global_\n# purpose: to try\n# purpose: no\na: 1\n")
    assert purpose(file) == "to try"
    file.write_text("a: 1\n")
    assert purpose(file) == ""
