"""Files from someone else: nothing in them is run, whatever they are offered to."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from mixvae import annotate, evaluate, sweep, train
from mixvae.data.cells.generator import generate_cells
from mixvae.data.cells.synthetic import write_cells
from tests.conftest import SMALL

Offer = Callable[..., str]
TINY = (*SMALL, "trainer.max_epochs=1")


class Bomb:
    """What unpickling can do."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


@pytest.fixture
def sent(run: Callable[..., Path]) -> Path:
    """A folder that looks like a run that someone else has sent, which may be resumed."""
    folder = run("run")
    (folder / "summary.json").write_text('{"status": "interrupted"}')
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """The file that a bomb would leave."""
    return tmp_path / "trace"


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str], trace: Path) -> Offer:
    """Run a command that must refuse; return its message."""

    def offer(command: Any, *arguments: str) -> str:
        capfd.readouterr()
        assert command.main(list(arguments)) != 0
        error = capfd.readouterr().err
        assert error.startswith("error: "), error
        assert "Traceback" not in error
        assert not trace.exists(), f"code was run: {error}"
        return error

    return offer


def commands(folder: Path) -> list[tuple[Any, list[str]]]:
    """All that reads a run folder."""
    cells = folder.parent / "cells.h5ad"
    cells.touch()  # looked at only after the run
    return [
        (train, [f"resume={folder}", "trainer.max_epochs=9"]),
        (evaluate, [f"run={folder}"]),
        (annotate, [f"run={folder}", f"data.path={cells}", "out=out.h5ad"]),
    ]


def bombs(trace: Path) -> dict[str, bytes]:
    """Checkpoints that run code where they are unpickled."""
    content = {"state_dict": {}, "epoch": 0, "augmenter": {}, "bomb": Bomb(trace)}
    new, old = io.BytesIO(), io.BytesIO()
    torch.save(content, new)
    torch.save(content, old, _use_new_zipfile_serialization=False)
    return {"zip": new.getvalue(), "old": old.getvalue(), "pickle": pickle.dumps(content)}


@pytest.mark.parametrize("kind", ["zip", "old", "pickle"])
def test_a_checkpoint_with_code(kind: str, sent: Path, trace: Path, refused: Offer) -> None:
    for name in ("last", "best"):
        (sent / "checkpoints" / f"{name}.ckpt").write_bytes(bombs(trace)[kind])
    (train_command, resume), (test_command, test), _ = commands(sent)
    assert "names code" in refused(train_command, *resume)
    assert "names code" in refused(test_command, *test)
    for source in ("run", "run/checkpoints/best.ckpt"):
        use = ["augmenter=learned", f"augmenter.checkpoint={source}", "run_dir=new"]
        assert "damaged or no checkpoint" in refused(train, *use)
    assert not Path("new").exists()


def test_annotating_with_a_checkpoint_that_holds_code(
    here: Path, trace: Path, refused: Offer
) -> None:
    write_cells(generate_cells(300, 120, 3), here / "cells.h5ad")
    cells = ["data=cells", "data.path=cells.h5ad", "data.batch_size=50", "likelihood=gaussian"]
    assert train.main([*TINY, *cells, "run_dir=run"]) == 0
    (here / "run" / "checkpoints" / "best.ckpt").write_bytes(bombs(trace)["zip"])
    ask = ["run=run", "data.path=cells.h5ad", "out=out.h5ad"]
    assert "names code" in refused(annotate, *ask)
    assert not (here / "out.h5ad").exists()


def call(function: str, *arguments: Any, **named: Any) -> dict[str, Any]:
    """A node that would call a function."""
    return {"_target_": function, **({"_args_": list(arguments)} if arguments else {}), **named}


def attacks(trace: Path) -> dict[str, tuple[str, Any]]:
    """Keys of a config, and what would run code, write or tell secrets there."""
    shell = f"touch {trace}"
    return {
        "os.system": ("data", call("os.system", command=shell)),
        "positional": ("data", call("os.system", shell)),
        "subprocess": ("model", call("subprocess.run", shell, shell=True)),
        "eval": ("callbacks.x", call("builtins.eval", f"open({str(trace)!r}, 'w')")),
        "torch.load": ("augmenter", call("torch.load", "x.pt", weights_only=False)),
        "hydra": ("augmenter", call("hydra.utils.instantiate", {"_target_": "os.system"})),
        "get_method": ("augmenter", call("hydra.utils.get_method", "os.system")),
        "partial": ("model.optimizer", call("os.system", shell, _partial_=True)),
        "deep": ("model.agents.encoder.extra", call("os.system", shell)),
        "in a list": ("callbacks.x", [call("os.system", shell)]),
        "through mixvae": ("callbacks.x", call("mixvae.runs.training.os.system", shell)),
        "through data": ("callbacks.x", call("mixvae.data.base.Path.touch", str(trace))),
        "through torch": ("callbacks.x", call("torch.nn.modules.module.torch.load", "x")),
        "through optim": ("callbacks.x", call("torch.optim.optimizer.torch.hub.load", "x")),
        "through lightning": ("callbacks.x", call("lightning.pytorch.trainer.trainer.os.kill", 1)),
        "a class elsewhere": ("callbacks.x", call("mixvae.data.images.mnist.Path", str(trace))),
        "popen": ("callbacks.x", call("lightning.pytorch.trainer.connectors.signal_connector.os")),
        "own function": (
            "callbacks.x",
            call("mixvae.runs.folder.write_text", path=str(trace), text="x"),
        ),
        "own method": ("callbacks.x", call("mixvae.files.replacing", str(trace))),
        "command line": ("callbacks.x", call("lightning.pytorch.cli.LightningCLI")),
        "method": (
            "model",
            call("lightning.pytorch.LightningModule.load_from_checkpoint", "x.ckpt"),
        ),
        "arguments": ("logger.csv", call("mixvae.engine.csv_logger.CsvLogger", str(trace))),
        "write": ("callbacks.predictions.dirpath", str(trace)),
        "write beside": ("callbacks.checkpoints.dirpath", "${run_dir}/../trace"),
        "write far": ("trainer.default_root_dir", str(trace)),
        "environment": ("name", "${oc.env:HOME}"),
        "nested": ("name", "${oc.${name2}:HOME}"),
        "decode": ("num_threads", "${oc.decode:1}"),
        "for Hydra": ("hydra", {"callbacks": {"x": call("os.system", command=shell)}}),
        "for Hydra's jobs": ("hydra", {"job": {"env_set": {"LD_PRELOAD": "x.so"}}}),
        "for Hydra's log": ("hydra", {"job_logging": {"handlers": {"x": {"()": "os.system"}}}}),
        "for Hydra's sweeper": ("hydra", {"sweeper": call("os.system", shell)}),
        "further configs": ("hydra", {"searchpath": ["file:///tmp"]}),
    }


def put(config: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for part in parents:
        config = config[part]
    config[last] = value


@pytest.mark.parametrize("name", attacks(Path("trace")))
def test_a_config_that_would_do_more_than_a_run(
    name: str, sent: Path, trace: Path, refused: Offer
) -> None:
    key, value = attacks(trace)[name]
    config = yaml.safe_load((sent / "config.yaml").read_text())
    put(config, key, value)
    (sent / "config.yaml").write_text(yaml.safe_dump(config))
    # All of them read the config by the same function.
    for command, arguments in commands(sent)[: 3 if name in ("os.system", "write") else 1]:
        refused(command, *arguments)
    refused(train, "--config-dir", "run", "--config-name", "config", "run_dir=new")
    if key == "hydra":
        refused(train, "-m", "--config-dir", "run", "--config-name", "config", "seed=1,2")
    assert not Path("new").exists()


YAMLS = {
    "object": "!!python/object/apply:os.system ['touch {trace}']",
    "new": "!!python/object/new:os.system ['touch {trace}']",
    "name": "!!python/name:os.system",
}


@pytest.mark.parametrize("text", YAMLS.values(), ids=YAMLS.keys())
def test_yaml_that_builds_python_objects(
    text: str, sent: Path, trace: Path, refused: Offer
) -> None:
    config = (sent / "config.yaml").read_text()
    (sent / "config.yaml").write_text(f"{config}\ntags: {text.format(trace=trace)}\n")
    for command, arguments in commands(sent):
        refused(command, *arguments)
    refused(train, "--config-dir", "run", "--config-name", "config", "run_dir=new")


def write_own_parts(folder: Path) -> None:
    """A package of the user's, and a config folder that names it."""
    (folder / "own_parts.py").write_text(
        "from lightning.pytorch import Callback\nclass Own(Callback):\n    pass\n"
    )
    (folder / "conf" / "experiment").mkdir(parents=True)
    content = {
        "callbacks": {"own": {"_target_": "own_parts.Own"}},
        "name": "${oc.env:OWN_NAME}",
    }
    (folder / "conf" / "experiment" / "own.yaml").write_text(
        "# @package _global_\n" + yaml.safe_dump(content)
    )


def test_what_the_user_wrote_is_accepted_on_this_machine_and_nowhere_else(
    here: Path, monkeypatch: pytest.MonkeyPatch, refused: Offer
) -> None:
    monkeypatch.syspath_prepend(here)
    monkeypatch.setenv("OWN_NAME", "mine")
    write_own_parts(here)
    own = ["--config-dir", "conf", "+experiment=own", "seed=${oc.decode:'3'}", "run_dir=run"]
    assert train.main([*TINY, *own]) == 0
    config = yaml.safe_load((here / "run" / "config.yaml").read_text())
    assert (config["name"], config["seed"]) == ("mine", 3)
    # The run goes on, is tested, and is repeated, also after it was moved.
    (here / "run").rename(here / "moved")
    assert train.main(["resume=moved", "trainer.max_epochs=2"]) == 0
    assert evaluate.main(["run=moved"]) == 0
    repeat = ["--config-dir", "moved", "--config-name", "config"]
    assert train.main([*repeat, "run_dir=again"]) == 0
    # Nothing else was accepted with it.
    config["callbacks"]["other"] = call("own_parts.Path")
    (here / "moved" / "config.yaml").write_text(yaml.safe_dump(config))
    assert "own_parts.Path" in refused(evaluate, "run=moved")
    # Another user, or machine, has another key.
    monkeypatch.setenv("XDG_STATE_HOME", str(here / "elsewhere"))
    assert "own_parts.Own" in refused(train, "resume=again", "trainer.max_epochs=9")
    again = ["--config-dir", "again", "--config-name", "config"]
    assert "own_parts.Own" in refused(train, *again, "run_dir=new")
    assert not Path("new").exists()


def test_a_run_folder_is_no_config_folder(sent: Path, trace: Path, refused: Offer) -> None:
    content = yaml.safe_dump({"callbacks": {"x": call("os.system", f"touch {trace}")}})
    for name in ("experiment/nice", "data/digits"):
        (sent / name).parent.mkdir()
        (sent / f"{name}.yaml").write_text(f"# @package _global_\n{content}")
    repeat = ["--config-dir", "run", "--config-name", "config", "run_dir=new"]
    assert "nice" in refused(train, *repeat, "+experiment=nice")
    assert "data" in refused(train, *repeat, "data=digits")
    assert "run" in refused(train, "--config-dir", "run", "+experiment=nice", "run_dir=new")


def test_the_user_s_own_package_can_be_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    from mixvae.cli.trust import check_trusted

    config = {"model": {"_target_": "collections.OrderedDict"}}
    with pytest.raises(ValueError, match=r"may not name; .* MIXVAE_TRUSTED names"):
        check_trusted(config)
    monkeypatch.setenv("MIXVAE_TRUSTED", "collections")
    check_trusted(config)


def arrays_of_objects(trace: Path) -> tuple[bytes, bytes]:
    """An .npy and an .npz file of pickled objects."""
    bomb, one, several = np.array([Bomb(trace)] * 3, dtype=object), io.BytesIO(), io.BytesIO()
    np.save(one, bomb, allow_pickle=True)
    np.savez(several, x=bomb)
    return one.getvalue(), several.getvalue()


def test_arrays_of_objects(here: Path, trace: Path, refused: Offer) -> None:
    one, several = arrays_of_objects(trace)
    Path("x.npy").write_bytes(one)
    Path("x.npz").write_bytes(several)
    np.save("fine.npy", np.zeros((3, 2), np.float32))
    for name in ("x.npy", "x.npz", "x.npz:x"):
        arguments = ["+experiment=multimodal_mmvm", f"data.modalities={{a: '{name}'}}"]
        assert "arrays of objects are not read" in refused(train, *arguments)
    arguments = ["+experiment=multimodal_mmvm", "data.modalities={a: fine.npy}"]
    assert "arrays of objects" in refused(train, *arguments, "data.labels=x.npy")


def test_a_folder_of_rats_with_objects(here: Path, trace: Path, refused: Offer) -> None:
    one, _ = arrays_of_objects(trace)
    for ending in ("spike_data_binned", "trial_info"):
        Path(f"superchris_{ending}.npy").write_bytes(one)
    arguments = ["+experiment=hippocampus_mmvm", "data.path=.", "data.rats=[superchris]"]
    assert "superchris" in refused(train, *arguments)


def test_cells_with_a_pickle_inside_and_one_beside(here: Path, trace: Path, refused: Offer) -> None:
    import h5py

    cells = ["data=cells", "data.path=cells.h5ad", "likelihood=gaussian", "data.batch_size=50"]
    # Not HDF5 at all, though it is called so.
    Path("cells.h5ad").write_bytes(pickle.dumps(Bomb(trace)))
    assert "cells.h5ad" in refused(train, *TINY, *cells)
    # Bytes of a pickle inside and beside a file that is fine: no one reads them.
    Path("cells.h5ad").unlink()
    write_cells(generate_cells(300, 120, 3), Path("cells.h5ad"))
    with h5py.File("cells.h5ad", "a") as file:
        file["uns"].attrs["pickle"] = np.void(pickle.dumps(Bomb(trace)))
    for name in ("cells.pkl", "cells.h5ad.pkl", "cells.npy"):
        Path(name).write_bytes(pickle.dumps(Bomb(trace)))
    assert train.main([*TINY, *cells, "run_dir=run"]) == 0
    assert annotate.main(["run=run", "data.path=cells.h5ad", "out=out.h5ad"]) == 0
    assert not trace.exists()


def test_a_sweep_folder_from_someone_else(sent: Path, trace: Path, refused: Offer) -> None:
    jobs = Path("theirs")
    jobs.mkdir()
    sent.rename(jobs / "0")
    config = yaml.safe_load((jobs / "0" / "config.yaml").read_text())
    config["data"] = call("os.system", f"touch {trace}")
    (jobs / "0" / "config.yaml").write_text(yaml.safe_dump(config))
    (jobs / "overrides.txt").write_text("hydra.sweeper._target_=os.system\nseed=0,1\n")
    sweep.main(["collect=theirs"])
    assert not trace.exists()
    assert "hydra.sweeper._target_=os.system" in refused(train, "-m", "sweep.resume=theirs")
    for line in ("hydra.launcher.setup=[touch trace]", "data._target_=os.system"):
        (jobs / "overrides.txt").write_text(f"{line}\nseed=0,1\n")
        refused(train, "-m", "sweep.resume=theirs")


def test_a_zip_that_climbs_out_is_no_checkpoint(sent: Path, refused: Offer) -> None:
    last = sent / "checkpoints" / "last.ckpt"
    with zipfile.ZipFile(last, "w") as archive:
        archive.writestr("../../trace", "x")
    assert "damaged" in refused(train, "resume=run", "trainer.max_epochs=9")
