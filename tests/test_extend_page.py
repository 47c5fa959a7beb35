"""The examples of docs/extend.md in a package outside the checkout, and other foreign code."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mixvae
from mixvae.cli.constructors import arguments_of
from mixvae.modules import CplMixVAE
from mixvae.train import main

PAGE = Path(__file__).parents[1] / "docs" / "extend.md"
BLOCK = re.compile(r"^```(python|yaml|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(PAGE.read_text())
COMMANDS = [
    line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.strip()
]
SHRUNK = ("trainer.max_epochs=2", "trainer.limit_train_batches=2", "num_threads=1", "logger=csv")
TINY = ("model.agents.encoder.hidden=[8]", "model.agents.decoder.hidden=[8]", "report=false")
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files of the page in a folder, which is the current one."""
    for kind, text in BLOCKS:
        if kind != "sh":
            path = tmp_path / text.splitlines()[0].removeprefix("# ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    (tmp_path / "mypackage" / "__init__.py").touch()
    random = np.random.default_rng(0)
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", random.normal(size=(400, 5)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [one for one in sys.modules if one.partition(".")[0] == "mypackage"]:
        del sys.modules[name]


def run(line: str) -> int:
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "mixvae.train"]
    if any(word.startswith("resume=") for word in words):
        return main(words[3:])
    agents = "regression" not in line and "mmvm" not in line
    figures = ["~callbacks.figures"] if agents else []
    return main([*words[3:], *SHRUNK, *(TINY if agents else TINY[2:]), *figures])


def test_each_example_is_short() -> None:
    code = [text for kind, text in BLOCKS if kind == "python"]
    assert len(code) == 5
    for text in code:
        assert len(text.splitlines()) <= 31, text  # with the line that names the file


# The last three commands make one run after the other.
@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_each_command_of_the_page_runs(project: Path, number: int, capsys: Capture) -> None:
    line = COMMANDS[number]
    if "resume=" in line:
        assert run(COMMANDS[number - 1]) == 0
    assert run(line) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    if "model=regression" in line and "-m --config" not in line:
        assert said.err.count("step aside: model Regression keeps none of mixvae's") == 1
        assert "epoch 1/2" in said.out
    if "stopwatch" in line:
        (folder,) = Path("runs", "default").iterdir()
        assert "train/seconds" in (folder / "metrics.csv").read_text()


def test_a_trained_own_model_is_loaded_from_its_checkpoint(project: Path) -> None:
    assert run(f"{COMMANDS[1]} run_dir=a") == 0
    from mypackage.sparse import Sparse

    path = project / "a" / "checkpoints" / "best.ckpt"
    model = CplMixVAE.load_from_checkpoint(path)
    assert isinstance(model, Sparse)
    assert not model.training
    assert model.size_weight(0) == 2
    assert isinstance(Sparse.load_from_checkpoint(path, map_location="cpu"), Sparse)
    with pytest.raises(ValueError, match="of the model Sparse, not IMSAT"):
        mixvae_modules().IMSAT.load_from_checkpoint(path)
    moved = project / "b.ckpt"
    path.rename(moved)
    with pytest.raises(ValueError, match="lies in no run folder"):
        Sparse.load_from_checkpoint(moved)


def test_a_model_without_a_test_trains_without_one(project: Path, capsys: Capture) -> None:
    told = "no test: model Regression has no test_step"
    assert run("python -m mixvae.train --config-dir conf model=regression data=line run_dir=a") == 0
    assert told in capsys.readouterr().err
    trained = mixvae.open_run("a")
    assert trained.summary["status"] == "finished"
    with pytest.raises(ValueError, match="run a cannot be tested: model Regression has no test"):
        trained.evaluate()
    path = project / "mypackage" / "line.py"
    path.write_text(
        path.read_text().replace("def config", "test_step = validation_step\n\n    def config")
    )
    importlib.reload(sys.modules["mypackage.line"])
    assert run("python -m mixvae.train --config-dir conf model=regression data=line") == 0
    assert "no test: data Line have no test_dataloader" in capsys.readouterr().err
    # Names that are not ours, and a test: recorded, and tested again.
    text = path.read_text().replace("val/loss", "val_loss")
    path.write_text(text.replace("val_data", "test_dataloader = val_data"))
    importlib.reload(sys.modules["mypackage.line"])
    assert run("python -m mixvae.train --config-dir conf model=regression data=line run_dir=b") == 0
    again = mixvae.open_run("b")
    assert again.summary["val_loss"] == again.evaluate()["val_loss"]


def mixvae_modules() -> Any:
    import mixvae.modules

    return mixvae.modules


def test_an_error_of_an_own_constructor_is_its_own_with_its_place(
    project: Path, capsys: Capture
) -> None:
    file = project / "mypackage" / "line.py"
    broken = file.read_text().replace(
        "        super().__init__()\n", "        raise RuntimeError('no such line')\n", 1
    )
    file.write_text(broken)
    number = broken.splitlines().index("        raise RuntimeError('no such line')") + 1
    assert run(COMMANDS[2]) == 1
    message = capsys.readouterr().err
    assert f"error: RuntimeError: no such line ({file}, line {number})" in message
    with pytest.raises(RuntimeError, match="no such line"):
        mixvae.train(None, "--config-dir=conf", "model=regression", "data=line")


def test_a_subclass_of_a_subclass_has_the_arguments_of_all() -> None:
    class Middle(CplMixVAE):
        def __init__(self, *, one: int = 1, **shared: Any) -> None:
            super().__init__(**shared)

    class Own(Middle):
        def __init__(self, *, two: int = 2, **kwargs: Any) -> None:
            super().__init__(**kwargs)

    known, takes_any = arguments_of(Own)
    assert {"one", "two", "augmenter", "agents", "num_categories"} <= set(known)
    assert not takes_any


def test_networks_that_were_asked_for_do_not_step_aside(project: Path, capsys: Capture) -> None:
    assert run(f"{COMMANDS[2]} networks=conv") == 2
    assert "unknown key 'model.agents'" in capsys.readouterr().err
