"""Every command of the README runs, in the README's order and in one folder, shrunk to seconds."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mixvae import evaluate, train

README = Path(__file__).parents[1] / "README.md"
SHRUNK = ("trainer.max_epochs=2", "trainer.limit_train_batches=2", "num_threads=1")
TINY = ("model.agents.encoder.hidden=[16]", "model.agents.decoder.hidden=[16]")


def commands() -> list[list[str]]:
    """The arguments after `python -m` of each line of the README's code blocks."""
    blocks = re.findall(r"^```\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    prefix = "python -m "
    return [shlex.split(line)[2:] for line in lines if line.startswith(prefix)]


def shrink(arguments: list[str], mnist_root: Path | None) -> list[str]:
    """The command with overrides that make it small."""
    text = " ".join(arguments)
    if "--help" in arguments or text.startswith("run="):
        return arguments
    if text.startswith("resume="):
        # The README's run was stopped; the one made here has finished, so it is extended.
        return [*arguments, "trainer.max_epochs=3"]
    own = [] if "networks=conv" in arguments else list(TINY)
    if "mnist" in text:
        own += [f"data_root={mnist_root}", "data.train_samples=600", "trainer.limit_test_batches=1"]
    return [*arguments, *own, *SHRUNK, "model.state_dim=1"]


def test_the_readme_has_commands() -> None:
    assert len(commands()) >= 10


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"`?make ([a-z-]+)", README.read_text()))
    makefile = (README.parent / "Makefile").read_text()
    assert {"demo", "test", "help"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.timeout(600)
def test_every_command_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    for module, *arguments in commands():
        if "mnist" in " ".join(arguments):
            try:
                root = request.getfixturevalue("real_mnist_root")
            except pytest.skip.Exception:
                continue
        else:
            root = None
        main = {"mixvae.train": train.main, "mixvae.evaluate": evaluate.main}[module]
        assert main(shrink(arguments, root)) == 0, arguments
    assert (tmp_path / "runs" / "five_agents" / "summary.json").is_file()
