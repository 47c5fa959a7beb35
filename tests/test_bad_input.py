"""Wrong command lines and files over all that mixvae can be asked for: each is told in one message.

What is asked of each: it ends with an error within 15 seconds, one message names the culprit, no
traceback is shown, and nothing is left behind that looks like a run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml

from mixvae import annotate, evaluate, impute, sweep, train
from mixvae.data.__main__ import main as data_main
from mixvae.data.cells.generator import generate_cells
from mixvae.data.cells.synthetic import write_cells
from tests.augmenters.test_learned import write as write_augmenter
from tests.conftest import SMALL

SECONDS = 30.0
TINY = (*SMALL, "trainer.max_epochs=1")
ARRAYS = "+experiment=multimodal_mmvm data.modalities={a:a.npy,b:b.npy}"
RATS = "+experiment=hippocampus_mmvm"
MNIST = "+experiment=mnist_cpl data_root=empty data.download=false"
RAMP = "{_target_:mixvae.objectives.schedules.Linear,start:0.0,end:1.0,length:1}"
CELLS = "data=cells networks=mlp_small likelihood=gaussian data.batch_size=50"
DIGITS = "+experiment=digits_cpl"
LEARNED = "augmenter=learned augmenter.checkpoint"


class Wrong(NamedTuple):
    """A wrong command: the command, its words, and what the message must say."""

    command: str
    words: str
    culprit: str


WRONG = [
    # Words that there are not.
    Wrong("train", "model.tua=1", "model.tua"),
    Wrong("train", "modle.tau=1", "modle"),
    Wrong("train", "seed", "'seed'"),
    Wrong("train", "--sede 1", "--sede"),
    Wrong("train", "experiment=digits_cpl", "+experiment=digits_cpl"),
    Wrong("train", "+experiment=digit_cpl", "digit_cpl"),
    Wrong("train", "data=mist", "mist"),
    Wrong("train", "model=cpl", "cpl"),
    Wrong("train", "trainer=tpu", "tpu"),
    Wrong("train", "+trainer.max_epoch=3", "trainer.max_epoch"),
    # Callbacks of another kind of model, and settings of a callback that the group lacks.
    Wrong("train", f"{RATS} callbacks=default", "choose callbacks=multimodal"),
    Wrong("train", f"{DIGITS} callbacks=multimodal", "choose callbacks=default"),
    Wrong("train", f"{DIGITS} callbacks=augmenter", "choose callbacks=default"),
    Wrong("train", "+experiment=cells_synthetic_cpl callbacks=cells", "callbacks.merging has"),
    Wrong("train", "+model.taw=0.1", "model.tau"),
    Wrong("train", "+data.batchsize=3", "data.batchsize"),
    Wrong("train", "~model", "model"),
    Wrong("train", "model._target_=mixvae.modules.CplMixVea", "CplMixVea"),
    Wrong("train", "model.tau=[1", "model.tau"),
    Wrong("train", "--config-dir none +experiment=x", "none"),
    Wrong("train", "--config-dir broken --config-name config", "config"),
    # Values of another type, or out of range.
    Wrong("train", "seed=one", "seed"),
    Wrong("train", "seed=-1", "seed"),
    Wrong("train", "seed=99999999999", "seed"),
    Wrong("train", "num_threads=0", "num_threads"),
    Wrong("train", "matmul_precision=tf32", "highest, high, medium, got 'tf32'"),
    Wrong("train", "model.num_categories=1", "model.num_categories"),
    Wrong("train", "model.num_categories=2.5", "model.num_categories"),
    Wrong("train", "model.num_agents=0", "model.num_agents"),
    Wrong("train", "model.state_dim=-1", "model.state_dim"),
    Wrong("train", "model.tau=0", "model.tau"),
    Wrong("train", "model.tau=.nan", "model.tau"),
    Wrong("train", "model.temperature=-1", "model.temperature"),
    Wrong("train", "model.beta=-1", "model.beta"),
    Wrong("train", "model.coupling=aitchinson", "aitchinson"),
    Wrong("train", "model.coupling_weight=inf", "coupling_weight"),
    Wrong("train", "model.align_epochs=[-1]", "align_epochs"),
    Wrong("train", "model.optimizer.lr=fast", "model.optimizer.lr"),
    Wrong("train", "model.optimizer.lr=-1", "learning rate"),
    Wrong("train", "model.agents.encoder.hidden=[0]", "hidden"),
    Wrong("train", "model.agents.encoder.batch_norm=between", "between"),
    Wrong("train", "augmenter=noise augmenter.scale=-1", "scale"),
    Wrong("train", "augmenter=learned augmenter.scale=-1", "augmenter.scale"),
    Wrong("train", "data.batch_size=0", "batch_size"),
    Wrong("train", "data.batch_size=99999", "99999"),
    Wrong("train", "data.val_fraction=1.5", "val_fraction"),
    Wrong("train", "data.predict_split=tset", "tset"),
    Wrong("train", "trainer.max_epochs=-3", "max_epochs"),
    Wrong("train", "trainer.devices=0", "devices"),
    Wrong("train", "trainer.accelerator=abacus", "abacus"),
    Wrong("train", "trainer.precision=12", "12"),
    Wrong("train", "trainer.limit_train_batches=-2", "limit_train_batches"),
    Wrong("train", "trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches"),
    Wrong("train", "+trainer.logger=false", "~logger"),
    Wrong("train", "+trainer.enable_checkpointing=false", "say ~callbacks.checkpoints"),
    Wrong("train", "+trainer.callbacks=[]", "trainer.callbacks has no effect here"),
    Wrong("train", "+trainer.plugins=[]", "trainer.plugins has no effect here"),
    Wrong("train", "trainer.check_val_every_n_epoch=0", "check_val_every_n_epoch must be 1"),
    Wrong("train", "+trainer.strategy=ddp_spawn", "trainer=ddp"),
    Wrong("train", "+trainer.strategy=ddp_fork", "use trainer=ddp"),
    Wrong("train", "callbacks.checkpoints.dirpath=else", "callbacks.checkpoints.dirpath"),
    Wrong("train", "test_checkpoint=worst", "worst"),
    Wrong("train", "test_checkpoint=selected", "selected"),
    Wrong("train", "callbacks.checkpoints.mode=least", "least"),
    Wrong("train", "logger.wandb.mode=sometimes", "sometimes"),
    Wrong("train", "name=a/b", "a/b"),
    Wrong("train", "trainer.precision=bf16-true", "bf16-true"),
    Wrong("train", "trainer.precision=automatic", "automatic"),
    Wrong("train", "trainer.precision=auto bf16_tested=perhaps", "bf16_tested"),
    Wrong("train", f"model.marginal_weight={RAMP}", "model.marginal_weight"),
    # What does not belong together.
    Wrong("train", f"{CELLS} augmenter=affine", "augmenter=affine"),
    Wrong("train", "data=hippocampus", "CplMixVAE"),
    Wrong("train", "model=mmvm", "model"),
    Wrong("train", f"{RATS} data=digits", "MMVM"),
    Wrong("train", f"{RATS} augmenter=noise", "augmenter"),
    Wrong("train", "data=cells_synthetic", "likelihood"),
    Wrong("train", "networks=conv data=cells_synthetic likelihood=gaussian", "image"),
    # The other mixtures.
    Wrong("train", "+experiment=digits_joint_vae model.state_capacity=-1", "model.state_capacity"),
    Wrong("train", "+experiment=digits_joint_vae model.category_capacity=9", "log"),
    Wrong("train", "+experiment=digits_joint_vae trainer.max_epochs=1", "max_epochs"),
    Wrong("train", "+experiment=digits_vade trainer.max_epochs=2", "model.pretrain_epochs"),
    Wrong("train", "+experiment=digits_vade model.state_dim=0", "model.state_dim"),
    Wrong("train", "+experiment=digits_imsat model.adversary=null", "model.adversary"),
    Wrong("train", "+experiment=digits_info_gan augmenter=noise", "augmenter"),
    Wrong("train", "+experiment=digits_gmvae model.num_agents=2", "num_agents"),
    Wrong(
        "train",
        "model=cascade_vae model.state_dim=10 trainer.max_epochs=2",
        "model.dimension_epochs is 1",
    ),
    Wrong("train", "model=beta_vae model.num_categories=2000", "the 1293 training samples"),
    # Sprites.
    Wrong("train", "data=dsprites_rendered data.label_factor=colour", "colour"),
    Wrong("train", "data=dsprites_rendered data.subset.shape=[]", "shape"),
    Wrong("train", "data=dsprites_rendered data.subset.x=[32]", "x"),
    Wrong(
        "train", "+experiment=dsprites_joint_vae data_root=empty data.download=false", "dsprites"
    ),
    # Where runs go.
    Wrong("train", "run_dir=run", "run already holds a run"),
    Wrong("train", "run_dir=full", "full is not empty"),
    Wrong("train", "run_dir=file", "file"),
    Wrong("train", "run_dir=file/below", "file"),
    Wrong("train", "run_dir=/proc/mixvae", "/proc/mixvae"),
    Wrong("train", "seed=0,1", "add -m"),
    Wrong("train", "-m seed=0,1 run_dir=both", "both"),
    Wrong("train", "-m seed=0,1 hydra.sweep.dir=full", "full"),
    Wrong("train", "-m sweep.resume=gone", "gone"),
    Wrong("train", "sweep.resume=run", "add -m"),
    # Going on.
    Wrong("train", "resume=gone", "gone"),
    Wrong("train", "resume=", "resume needs the folder of a run"),
    Wrong("train", "resume=file", "is a file, not a run folder"),
    Wrong("train", "-m resume=empty,gone", "leave out -m"),
    Wrong("train", "resume=run trainer.max_epochs=many", "must be a whole number"),
    Wrong("train", "init_from=gone.ckpt", "there is no such checkpoint or run folder"),
    Wrong("train", "init_from=empty", "a folder without a checkpoint"),
    Wrong("train", "init_from=a.txt", "no checkpoint at all"),
    Wrong("train", "resume=full", "full"),
    Wrong("train", "resume=run", "finished"),
    Wrong("train", "resume=run seed=1", "seed"),
    Wrong("train", "resume=run trainer.max_epochs=1", "trainer.max_epochs=1"),
    Wrong("train", "resume=broken", "config.yaml"),
    Wrong("train", "resume=cut trainer.max_epochs=2", "last.ckpt"),
    Wrong("train", "resume=other trainer.max_epochs=2", "another model"),
    # Files of data sets.
    Wrong("train", "+experiment=images_cpl", "data.path"),
    Wrong("train", "+experiment=images_cpl data.path=gone", "gone"),
    Wrong(
        "train",
        "+experiment=images_cpl data.path=rare.npy data.labels=rare_labels.npy data.split_seed=2",
        "data.split_seed=2 leaves the class '1'",
    ),
    Wrong("train", f"{DIGITS} data.split_seed=-1", "split_seed"),
    Wrong("train", f"{MNIST} data.split_seed=1", "data.split_seed=1"),
    Wrong("train", "+experiment=images_cpl data.path=a.npy data.size=1", "size"),
    Wrong("train", "+experiment=multimodal_mmvm", "data.modalities"),
    Wrong("train", "+experiment=multimodal_mmvm data.modalities={a:gone.npy}", "gone.npy"),
    Wrong("train", "+experiment=multimodal_mmvm data.modalities={a:empty.npy}", "empty.npy"),
    Wrong("train", "+experiment=multimodal_mmvm data.modalities={a:text.npy}", "text.npy"),
    Wrong("train", "+experiment=multimodal_mmvm data.modalities={a:half.npy}", "half.npy"),
    Wrong("train", "+experiment=multimodal_mmvm data.modalities={a:a.npy,b:short.npy}", "rows"),
    Wrong("train", "+experiment=multimodal_mmvm data.modalities={a:words.csv}", "words.csv"),
    Wrong("train", "+experiment=multimodal_mmvm data.modalities={a:a.txt}", "a.txt"),
    Wrong("train", "+experiment=multimodal_mmvm data.modalities={a:infinite.npy}", "a holds inf"),
    Wrong("train", "+experiment=multimodal_mmvm 'data.modalities={a:two.npz}'", "name one"),
    Wrong("train", f"{ARRAYS} data.labels=short_labels.npy", "labels"),
    Wrong("train", f"{ARRAYS} model.weights={{c:1.0}}", "model.weights.c"),
    Wrong("train", f"{ARRAYS} model.kl=pairwis", "pairwis"),
    Wrong("train", f"{ARRAYS} model.likelihoods={{a:categorical}}", "categorical"),
    Wrong("train", f"{ARRAYS} data.missing_fraction=1.0", "missing_fraction"),
    Wrong("train", f"{ARRAYS} data.test_fraction=0.95", "fraction"),
    Wrong("train", f"{RATS} data.path=gone", "gone"),
    Wrong("train", f"{RATS} data.path=full", "full"),
    Wrong("train", f"{RATS} data.rats=[barat,rattus]", "rattus"),
    Wrong("train", f"{RATS} data.odours=[A,Z]", "Z"),
    Wrong("train", f"{RATS} data.subwindow_length=99", "subwindow_length"),
    Wrong("train", f"{RATS} data.split=rat", "rat"),
    Wrong("train", f"{RATS} model.alpha=2", "model.alpha"),
    Wrong("train", MNIST, "empty"),
    Wrong("train", f"{MNIST.replace('empty', 'corrupt')}", "corrupt"),
    Wrong("train", f"{MNIST} data_root=file", "file"),
    Wrong("train", f"{CELLS} data.path=gone.h5ad", "gone.h5ad"),
    Wrong("train", f"{CELLS} data.path=text.h5ad", "text.h5ad"),
    Wrong("train", f"{CELLS} data.path=half.h5ad", "half.h5ad"),
    Wrong("train", f"{CELLS} data.path=full", "full"),
    Wrong("train", f"{CELLS} data.path=cells.h5ad data.layer=umis", "umis"),
    Wrong("train", f"{CELLS} data.path=cells.h5ad data.label_key=cluster", "cluster"),
    Wrong("train", f"{CELLS} data.path=cells.h5ad data.genes=gone.txt", "gone.txt"),
    Wrong("train", f"{CELLS} data.path=cells.h5ad data.genes=words.csv", "one,two"),
    Wrong("train", f"{CELLS} data.path=cells.h5ad data.num_highly_variable=0", "variable"),
    Wrong("train", f"{CELLS} data.normalize=cpm", "cpm"),
    Wrong("train", f"{CELLS} likelihood=zinb", "likelihood"),
    Wrong("train", "data=cells_synthetic likelihood=gaussian data.num_types=0", "num_types"),
    Wrong("train", f"{DIGITS} callbacks=pruning callbacks.pruning.threshold=2", "threshold"),
    Wrong("train", f"{DIGITS} callbacks=pruning callbacks.pruning.max_rounds=99", "max_epochs"),
    Wrong("train", "+experiment=digits_order callbacks.pruning.num_per_round=-1", "num_per_round"),
    Wrong("train", "+experiment=digits_augmenter model.network.latent_dim=0", "latent_dim"),
    Wrong("train", "+experiment=digits_augmenter augmenter=noise", "augmenter"),
    Wrong("train", "+experiment=digits_augmenter data=hippocampus", "one array"),
    Wrong("train", "augmenter=learned", "augmenter"),
    Wrong("train", f"{LEARNED}=gone", "gone"),
    Wrong("train", f"{LEARNED}=run", "augmenter"),
    Wrong("train", f"{LEARNED}=file", "file"),
    Wrong("train", f"{LEARNED}=other.ckpt", "other.ckpt was trained on toy"),
    # The other commands.
    Wrong("evaluate", "", "run="),
    Wrong("evaluate", "run=gone", "gone"),
    Wrong("evaluate", "run=full", "full"),
    Wrong("evaluate", "run=file", "file"),
    Wrong("evaluate", "run=broken", "config.yaml"),
    Wrong("evaluate", "run=cut", "best.ckpt"),
    Wrong("evaluate", "run=other", "another model"),
    Wrong("evaluate", "run=run checkpoint=worst", "worst"),
    Wrong("evaluate", "run=run checkpoint=selected", "selected"),
    Wrong("evaluate", "run=run model.tau=1", "model"),
    Wrong("evaluate", "run=run data=hippocampus", "hippocampus"),
    Wrong("evaluate", "run=run data=mnist data_root=empty data.download=false", "mnist"),
    Wrong("evaluate", "run=run data.batchsize=1", "data.batchsize"),
    Wrong("evaluate", "run=run data=digit", "'digit'; did you mean 'digits'?"),
    Wrong("evaluate", "run=run data=digits,mnist", "names several values"),
    Wrong("evaluate", "run=run data.eval_batch_size=x", "must be a whole number"),
    Wrong("evaluate", "run=run data.eval_batch_size=0", "eval_batch_size"),
    Wrong("annotate", "", "run="),
    Wrong("annotate", "run=run", "data.path"),
    Wrong("annotate", "run=run data.path=cells.h5ad", "out="),
    Wrong("annotate", "run=gone data.path=cells.h5ad out=out.h5ad", "gone"),
    Wrong("annotate", "run=run data.path=cells.h5ad out=out.h5ad", "cells"),
    Wrong("annotate", "run=cellrun data.path=gone.h5ad out=out.h5ad", "gone.h5ad"),
    Wrong("annotate", "run=cellrun data.path=text.h5ad out=out.h5ad", "text.h5ad"),
    Wrong("annotate", "run=cellrun data.path=cells.h5ad out=cells.h5ad", "cells.h5ad"),
    Wrong("annotate", "run=cellrun data.path=cells.h5ad out=out.h5ad agent=9", "agent"),
    Wrong("annotate", "run=cellrun data.path=cells.h5ad out=out.h5ad agent=one", "agent"),
    Wrong("annotate", "run=cellrun data.path=cells.h5ad out=gone/out.h5ad", "gone"),
    Wrong("annotate", "run=cellrun data.path=cells.h5ad out=out.h5ad max_missing=2", "max_missing"),
    Wrong("impute", "", "run="),
    Wrong("impute", "run=run data.modalities={a:a.npy}", "out="),
    Wrong("impute", "run=gone data.modalities={a:a.npy} out=out.npz", "gone"),
    Wrong("impute", "run=run data.modalities={a:a.npy} out=gone/out.npz", "gone"),
    Wrong("impute", "run=run data.modalities={a:a.npy} out=out.npz", "run"),
    Wrong("sweep", "", "collect="),
    Wrong("sweep", "collect=gone", "gone"),
    Wrong("sweep", "collect=full", "full"),
    Wrong("sweep", "colect=full", "colect"),
    Wrong("data", "import-smartseq", "exon"),
    Wrong("data", "import-smartsek", "import-smartsek"),
]
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": train.main,
    "evaluate": evaluate.main,
    "annotate": annotate.main,
    "impute": impute.main,
    "sweep": sweep.main,
    "data": data_main,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with everything that a wrong command may name."""
    folder, before = tmp_path_factory.mktemp("place"), Path.cwd()
    os.chdir(folder)
    write_arrays()
    write_files()
    assert train.main([*TINY, "run_dir=run"]) == 0
    cells = ["data.path=cells.h5ad", "model.num_agents=1", "run_dir=cellrun"]
    assert train.main([*TINY, *CELLS.split(), *cells]) == 0
    write_runs()
    yield folder
    os.chdir(before)


def write_arrays() -> None:
    generator = np.random.default_rng(0)
    a = generator.normal(size=(200, 5)).astype(np.float32)
    np.save("a.npy", a)
    np.save("b.npy", a[:, :3])
    np.save("short.npy", a[:100])
    np.save("infinite.npy", np.where(a > 2, np.inf, a))
    np.save("short_labels.npy", np.zeros(10, np.int64))
    np.savez("two.npz", x=a, y=a)
    Path("half.npy").write_bytes(Path("a.npy").read_bytes()[:500])
    Path("empty.npy").write_bytes(b"")


def write_files() -> None:
    for name in ("text.npy", "text.h5ad", "a.txt", "file"):
        Path(name).write_text("no such format\n")
    write_augmenter(Path("other.ckpt"))
    np.save("rare.npy", np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8))
    np.save("rare_labels.npy", np.where(np.arange(60) < 3, 1, 0))
    Path("words.csv").write_text("one,two\nthree,four\nfive,six\n")
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine\n")
    Path("empty").mkdir()
    raw = Path("corrupt/MNIST/raw")
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"\x00\x00\x08\x03 and nothing else")
    write_cells(generate_cells(300, 120, 3), Path("cells.h5ad"))
    Path("half.h5ad").write_bytes(Path("cells.h5ad").read_bytes()[:5000])


def write_runs() -> None:
    shutil.copytree("run", "broken")
    Path("broken/config.yaml").write_text("model: [1, 2\n")
    shutil.copytree("run", "cut")
    for path in Path("cut/checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    shutil.copytree("run", "other")
    config = yaml.safe_load(Path("other/config.yaml").read_text())
    config["model"]["num_agents"] = 3
    Path("other/config.yaml").write_text(yaml.safe_dump(config))


def contents(folder: Path) -> set[str]:
    """All files there, the caches of matplotlib and the like left out."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def words_of(wrong: Wrong) -> list[str]:
    return [word.strip("'") for word in wrong.words.split()]


def check(wrong: Wrong, status: int, error: str, seconds: float) -> None:
    assert status in (1, 2)
    assert seconds < SECONDS
    assert "Traceback" not in error
    assert "HYDRA_FULL_ERROR" not in error, error
    assert error.count("error: ") == 1
    assert wrong.culprit in error.partition("error: ")[2]


def some_slow(wrongs: list[Wrong]) -> Iterator[Any]:
    """Every fifth one at once, the others with the slow tests."""
    for number, wrong in enumerate(wrongs):
        name = f"{wrong.command} {wrong.words}"[:70]
        yield pytest.param(wrong, id=name, marks=[pytest.mark.slow] if number % 5 else [])


@pytest.mark.parametrize("wrong", list(some_slow(WRONG)))
def test_it_is_refused_in_one_message(
    wrong: Wrong, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = contents(place)
    capfd.readouterr()
    started = time.monotonic()
    try:
        status: Any = COMMANDS[wrong.command](words_of(wrong))
    except SystemExit as stop:
        status = stop.code
    seconds = time.monotonic() - started
    check(wrong, status, capfd.readouterr().err, seconds)
    assert contents(place) == before


def test_there_are_sixty_or_more_and_no_two_the_same() -> None:
    assert len({wrong[:2] for wrong in WRONG}) == len(WRONG) >= 60
    experiments = {word for wrong in WRONG for word in words_of(wrong) if "experiment=" in word}
    assert len(experiments) >= 6


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        Wrong("train", "model.tua=1", "model.tua"),
        Wrong("train", "model.num_agents=0", "model.num_agents"),
        Wrong("train", f"{CELLS} data.path=text.h5ad", "text.h5ad"),
        Wrong("evaluate", "run=cut", "best.ckpt"),
        Wrong("annotate", "run=run data.path=cells.h5ad out=out.h5ad", "cells"),
    ],
    ids=lambda wrong: wrong.command,
)
def test_it_is_refused_in_a_process_of_its_own(wrong: Wrong, place: Path, repo_root: Path) -> None:
    before, started = contents(place), os.times()
    done = subprocess.run(
        [sys.executable, "-m", f"mixvae.{wrong.command}", *words_of(wrong)],
        env={**os.environ, "PYTHONPATH": str(repo_root)},
        cwd=place,
        capture_output=True,
        text=True,
        timeout=60,
    )
    # Its own time, which depends less on what else the machine does than the clock; how long it
    # may wait is bounded by the timeout.
    now = os.times()
    seconds = now.children_user + now.children_system
    seconds -= started.children_user + started.children_system
    check(wrong, done.returncode, done.stderr, seconds)
    assert done.stdout == ""
    assert contents(place) == before


@pytest.mark.parametrize("words", ["model.num_agents=0", "data=hippocampus"])
def test_the_traceback_is_shown_once_where_it_is_asked_for(
    words: str, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def shown(*more: str) -> int:
        capfd.readouterr()
        assert train.main([words, *more]) != 0
        error = capfd.readouterr().err
        assert error.splitlines()[-1].startswith("error: ")
        return error.count(error.splitlines()[-1].removeprefix("error: "))

    assert shown() == 1
    asked = shown("debug=true")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert shown() == asked > 1
    capfd.readouterr()
