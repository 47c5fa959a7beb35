import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils._python_dispatch import TorchDispatchMode

from experiments.bench import (
    agents,
    distances,
    footprint,
    loading,
    modalities,
    products,
    startup,
    training_loop,
)
from experiments.bench.__main__ import main
from experiments.bench.measuring import (
    BF16,
    CPU,
    MATMUL_SIZE,
    Case,
    Setting,
    alternate,
    compare,
    peak_memory,
)
from experiments.bench.report import save
from experiments.bench.steps import graph_step, model_step
from experiments.modality_loop import Widths
from mixvae.cli.schema import register
from mixvae.contracts import Batch
from mixvae.data import HippocampusDataModule
from mixvae.engine.cuda_graphs import WARM_UP
from tests.composed import composed

register()

QUICK = Setting(rounds=1, seconds=0.0, device=CPU)
SMALL = agents.MNIST._replace(features=12, batch_size=8, encoder=(6,), decoder=(6,))
SMALL_IMAGES = SMALL._replace(features=64, batch_norm="none", channels=(3, 2))


def busy(seconds: float) -> Callable[[], None]:
    """Work for so long."""

    def run() -> None:
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    return run


def test_ratios_say_how_many_times_faster_a_side_is() -> None:
    sides = {"slow": busy(0.03), "fast": busy(0.01)}
    case = Case("rats", "a case", {}, 6, lambda device: sides, trains=False)
    row = compare(case, QUICK._replace(rounds=3))
    assert row["sides"]["fast"]["ratio"][0] == pytest.approx(3, rel=0.3)
    assert row["sides"]["slow"]["samples/s"] == pytest.approx(200, rel=0.3)


def test_each_round_measures_all_in_alternating_order() -> None:
    calls: list[str] = []
    runs = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    alternate(runs, QUICK._replace(rounds=3))
    warm_up, measured = calls[:4], calls[4:]
    assert warm_up == ["a", "a", "b", "b"]
    assert measured == ["a", "b", "b", "a", "a", "b"]


def test_the_peak_of_memory_counts_what_a_call_gives_back() -> None:
    found = peak_memory(lambda: torch.ones(30_000_000).sum(), CPU)
    if found is None:
        pytest.skip("this system does not tell")
    assert found == pytest.approx(120, abs=15)


@pytest.mark.parametrize(
    "build",
    [
        partial(agents.training_sides, 2, SMALL),
        partial(agents.training_sides, 2, SMALL_IMAGES),
        partial(modalities.training_sides, Widths((5, 7), (4,), batch_size=6)),
    ],
)
def test_products_are_counted_and_shares_taken(
    build: partial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MATMUL_SIZE, "cpu", 32)
    row = compare(Case("agents", "a case", {"A": 2}, 8, build), QUICK)
    assert row["flops"] > 0
    assert list(row["sides"]) == ["loop", "mixvae", BF16]
    for side in row["sides"].values():
        assert side["share"] > 0
        assert side["samples/s"] > 0


def test_every_case_has_a_name_of_its_own_and_every_group_cases() -> None:
    found = [case for source in (agents, modalities, distances) for case in source.cases()]
    assert len({(case.group, case.name) for case in found}) == len(found)
    assert {case.axes["A"] for case in found if case.group == "agents"} == {2, 3, 5, 10}
    assert max(case.axes["M"] for case in found if case.group == "modalities") == 100


@pytest.mark.parametrize("count", [2, 3])
def test_both_sides_of_a_distance_are_the_same_term(count: int) -> None:
    log_q = torch.randn(count, 6, 4, dtype=torch.float64).log_softmax(-1)
    ours = distances.coupling(log_q, kind="perturbed")
    torch.testing.assert_close(distances.pairs_of_agents(log_q), ours)
    parameters = torch.randn(2, count, 5, 3, dtype=torch.float64)
    ours = distances.pairwise_kl(*parameters)
    torch.testing.assert_close(distances.pairs_of_modalities(parameters), ours)


def test_both_loaders_yield_every_sample_once() -> None:
    seen = {}
    for name, side in loading.array_sides(512, 6, "uint8").items():
        batches = [[part.clone() for part in batch[:3]] for batch in side.args[0]]
        index = torch.cat([batch[2] for batch in batches])
        x = torch.cat([batch[0] for batch in batches])
        assert sorted(index.tolist()) == list(range(512))
        seen[name] = x[index.argsort()]
    torch.testing.assert_close(seen["mixvae"], seen["DataLoader"])


def test_the_rats_dataset_cuts_the_windows_that_the_data_module_holds() -> None:
    rats = HippocampusDataModule(seed=0, rats=("stella", "mitt"), correct_only=False)
    rats.setup()
    recordings = [rats.simulator.record(rat) for rat in rats.rats]
    starts = [rats.window_starts[rat] for rat in rats.rats]
    dataset = loading.RatDataset(recordings, starts, 25, 10)
    store = rats.train_dataloader()._tensors.stores.arrays
    for index in (0, 17, len(dataset) - 1):
        samples, _ = dataset[index]
        for rat in range(2):
            assert (store[rat].float() == samples[str(rat)]).all(dim=1).any()
    with pytest.raises(IndexError):
        dataset[len(dataset)]


@pytest.mark.parametrize("job", [training_loop.DIGITS, training_loop.GENES, training_loop.EPOCH])
def test_bare_epochs_and_those_of_the_trainer_are_timed(
    job: training_loop.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = SMALL._replace(features=9, batch_size=16, binary=False)
    monkeypatch.setattr(training_loop, "SMARTSEQ", small)
    monkeypatch.setattr(training_loop, "BATCHES", 2)
    few = {"epochs": 1, "num_cells": min(job.num_cells, 5000)}
    row = training_loop.measured(job._replace(**few), QUICK)
    assert row["group"] == job.group
    assert row["seconds"]["trainer"] > 0
    assert row["seconds"]["bare"] > 0


def test_on_a_gpu_epochs_are_timed_between_validations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []

    def now(setting: Setting) -> float:
        events.append("clock")
        return 0.0

    class Watch(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            events.append("epoch")

        def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if not trainer.sanity_checking:
                events.append("validation")

    small = SMALL._replace(features=9, batch_size=16, binary=False)
    monkeypatch.setattr(training_loop, "SMARTSEQ", small)
    monkeypatch.setattr(training_loop, "_now", now)
    job = next(job for job in training_loop.GPU_JOBS if job.group == "epoch")
    job = job._replace(batch_size=16, num_cells=32)
    parts = training_loop._parts(job, str(tmp_path), CPU)
    parts.trainer.callbacks.append(Watch())
    training_loop._whole(parts, job.epochs, QUICK)
    assert events == ["epoch", "clock", *["epoch"] * job.epochs, "clock", "validation", "epoch"]


def test_the_products_of_a_step_are_found_whatever_their_layout() -> None:
    x, w = torch.rand(8, 12), torch.rand(12, 6, requires_grad=True)
    out = torch.zeros(2, 6)

    def step() -> None:
        (x @ w).sum().backward()
        torch.mm(x[:2], w.detach(), out=out)
        out.addmm_(x[:2], w.detach())

    replay = products.products_of(step)
    before = out.clone()
    names = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            names.append((str(func), [t.stride() for t in args if isinstance(t, torch.Tensor)]))
            return func(*args, **(kwargs or {}))

    with Watch():
        replay()
    assert names == [
        ("aten.mm.default", [(12, 1), (6, 1)]),
        ("aten.mm.default", [(1, 12), (0, 0)]),  # the gradient of a sum is one number
        ("aten.mm.out", [(12, 1), (6, 1)]),
        ("aten.addmm_.default", [(6, 1), (12, 1), (6, 1)]),
    ]
    assert torch.equal(out, before)  # it works on arguments of its own


def test_the_chosen_steps_are_there_once() -> None:
    found = [(case.name, case.group) for case in products.cases()]
    assert len(set(found)) == len(found) == len(products.CHOSEN)


def test_a_recorded_step_is_a_step() -> None:
    class Again:
        def __init__(self, work: Callable[[], None]) -> None:
            self.replay = work

    batch = Batch(torch.rand(8, 12), torch.arange(8), torch.arange(8))
    weights = []
    for recorded in (True, False):
        torch.manual_seed(0)
        model = agents.build_model(2, SMALL).train()
        run = graph_step(model, batch, record=Again) if recorded else model_step(model, batch)
        for _ in range(2 if recorded else 2 + WARM_UP):
            run()
        weights.append(model.state_dict())
    torch.testing.assert_close(*weights, rtol=0, atol=0)


def test_every_job_on_a_gpu_is_also_one_of_graphs() -> None:
    names = [job.case for job in training_loop.GPU_JOBS]
    assert len(set(names)) == len(names) == 2 * len(training_loop.CPU_JOBS)
    assert sum(job.graphs for job in training_loop.GPU_JOBS) == len(training_loop.CPU_JOBS)


@pytest.mark.parametrize("experiment", footprint.experiments())
def test_every_experiment_can_be_cut_short(experiment: str) -> None:
    cfg = composed([f"+experiment={experiment}", *footprint.shortened(experiment)])
    assert cfg.trainer.max_epochs == footprint.EPOCHS


@pytest.mark.slow
def test_the_memory_of_an_experiment_is_that_of_its_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(footprint, "experiments", lambda: ["digits_mix_vae", "no_such"])
    monkeypatch.setattr(footprint, "shortened", lambda name: ["trainer.max_epochs=1"])
    (row,) = footprint.rows()
    assert row["case"] == "digits_mix_vae"
    assert 0.2 < row["seconds"]["GiB"] < 3
    assert "no_such: not measured" in capsys.readouterr().err


def test_the_stages_of_a_start_are_timed() -> None:
    assert set(startup.start()) == set(startup.STAGES)


def test_the_command_writes_json_markdown_and_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(MATMUL_SIZE, "cpu", 32)
    monkeypatch.setattr(agents, "MNIST", SMALL)
    few = [case for case in agents.cases() if case.group == "mnist"][:1]
    monkeypatch.setattr(agents, "cases", lambda: few)
    main(["--cases", "mnist", "--rounds", "1", "--seconds", "0", "--out", str(tmp_path)])
    group = json.loads((tmp_path / "bench.json").read_text())["groups"]["mnist"]
    assert group["setting"]["threads"] == 1
    assert group["rows"][0]["case"] == "MNIST MLP, A 2, K 10, B 8"
    page = (tmp_path / "bench.md").read_text()
    assert "| MNIST MLP, A 2, K 10, B 8 |" in page
    assert page in capsys.readouterr().out
    assert (tmp_path / "bench.png").stat().st_size > 1000


def test_groups_that_were_not_measured_again_stay(tmp_path: Path) -> None:
    for group, seconds in (("startup", 1.0), ("training_loop", 2.0), ("startup", 3.0)):
        row = {"group": group, "case": "a case", "seconds": {"bare": seconds}}
        save([row], {"threads": 1}, "the command", tmp_path)
    groups = json.loads((tmp_path / "bench.json").read_text())["groups"]
    assert {name: kept["rows"][0]["seconds"]["bare"] for name, kept in groups.items()} == {
        "startup": 3.0,
        "training_loop": 2.0,
    }
