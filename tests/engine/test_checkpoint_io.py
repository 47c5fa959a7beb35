from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mixvae.contracts import DataSpec, ModalitySpec, MultimodalSpec
from mixvae.engine import checkpoint_io
from mixvae.engine.checkpoint_io import AtomicCheckpointIO, check_fits, load_checkpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints" / "last.ckpt"


def test_what_is_written_is_read_back(path: Path) -> None:
    state = {"state_dict": {"w": torch.arange(3.0)}, "epoch": 2, "list": [1, (2, None)]}
    AtomicCheckpointIO().save_checkpoint(state, path)
    read = AtomicCheckpointIO().load_checkpoint(path)
    assert torch.equal(read["state_dict"]["w"], torch.arange(3.0))
    assert read["list"] == [1, (2, None)]
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_stop_while_writing_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, stop: Any
) -> None:
    AtomicCheckpointIO().save_checkpoint({"state_dict": {}, "epoch": 1}, path)

    def write_half(content: Any, file: Any) -> None:
        file.write(b"half")
        raise stop

    monkeypatch.setattr(checkpoint_io.torch, "save", write_half)
    with pytest.raises((KeyboardInterrupt, OSError)):
        AtomicCheckpointIO().save_checkpoint({"state_dict": {}, "epoch": 2}, path)
    monkeypatch.undo()
    assert load_checkpoint(path)["epoch"] == 1
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def test_whatever_is_asked_code_is_not_run(path: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({"state_dict": {}, "code": nn.Linear(1, 1)}, path)
    with pytest.raises(ValueError, match="names code that reading it would run"):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=False)


def test_files_that_are_no_checkpoints(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        load_checkpoint(path)
    path.parent.mkdir()
    for content in (b"", b"text", b"PK\x03\x04 half a zip file"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged or truncated"):
            load_checkpoint(path)
    for other in ([1, 2], {"weights": {}}):
        torch.save(other, path)
        with pytest.raises(ValueError, match="holds no state_dict"):
            load_checkpoint(path)


def test_the_weights_of_another_model() -> None:
    model = nn.Linear(2, 3)
    check_fits({"state_dict": model.state_dict()}, model, Path("a"))
    with pytest.raises(ValueError, match=r"bias has shape \(4,\) instead of \(3,\), and 1 more"):
        check_fits({"state_dict": nn.Linear(2, 4).state_dict()}, model, Path("a"))
    with pytest.raises(ValueError, match=r"another model: bias is missing$"):
        check_fits({"state_dict": nn.Linear(2, 3, bias=False).state_dict()}, model, Path("a"))
    more = {**model.state_dict(), "extra": torch.zeros(1)}
    with pytest.raises(ValueError, match="extra is unknown"):
        check_fits({"state_dict": more}, model, Path("a"))


def test_the_sizes_of_other_data_are_told() -> None:
    rats = tuple(ModalitySpec(name, (size,)) for name, size in (("stella", 400), ("mitt", 1040)))
    cells = DataSpec(name="cells", shape=(300,))
    for spec, told in (
        (MultimodalSpec("hippocampus", rats), r"hippocampus have .* stella \(400,\), mitt \(1040,"),
        (cells, r"cells have samples of the shape \(300,\): is that of the data"),
    ):
        with pytest.raises(ValueError, match=told):
            check_fits(
                {"state_dict": nn.Linear(2, 4).state_dict()}, nn.Linear(2, 3), Path("a"), spec
            )
    smaller = {"state_dict": nn.Linear(2, 3, bias=False).state_dict()}
    with pytest.raises(ValueError, match=r"bias is missing$"):
        check_fits(smaller, nn.Linear(2, 3), Path("a"), cells)
