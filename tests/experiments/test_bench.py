import importlib
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from experiments.bench import (
    agents,
    distances,
    footprint,
    loading,
    modalities,
    runs,
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
    compare,
    peak_memory,
)
from experiments.bench.steps import graph_step, model_step
from experiments.measured_process import Measured
from experiments.modality_loop import Widths
from experiments.phases import NAMES, PHASES, Phases
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


def test_a_validation_is_measured_beside_a_training_step() -> None:
    build = partial(modalities.validation_sides, Widths((5, 7), (4,), batch_size=6))
    row = compare(Case("validation", "a case", {"M": 2}, 6, build, trains=False), QUICK)
    sides = ["training step", "validation", "test", "validation, kl: mixture"]
    assert list(row["sides"]) == sides


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


@pytest.mark.parametrize("job", [training_loop.GENES, training_loop.EPOCH])
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


@pytest.mark.slow
def test_every_experiment_can_be_cut_short() -> None:
    for name in footprint.experiments():
        cfg = composed([f"+experiment={name}", *footprint.shortened(name)])
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


@pytest.mark.slow
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


def test_the_innermost_phase_gets_the_time() -> None:
    phases = Phases()
    inner = phases.timed(busy(0.02), "checkpoints")
    phases.timed(lambda: (busy(0.03)(), inner()), "steps")()
    assert phases.seconds["checkpoints"] == pytest.approx(0.02, abs=0.01)
    assert phases.seconds["steps"] == pytest.approx(0.03, abs=0.01)


def test_every_phase_is_a_function_of_mixvae_or_lightning() -> None:
    for path in PHASES:
        module, _, name = path.partition(":")
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        assert callable(found), path


def test_the_phases_of_a_run_and_its_exit_are_all_of_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measured(command: list[str]) -> Measured:
        Path(command[3]).write_text(json.dumps(dict.fromkeys(NAMES, 0.5)))
        return Measured(1.0, [], 20.0)

    monkeypatch.setattr(runs, "measure", measured)
    found = runs.run(["+experiment=digits_cpl"])
    assert sum(found.values()) == 2 * found[runs.TOTAL]


def test_cells_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runs.CELLS, "none.h5ad")
    with pytest.raises(ValueError, match=r"none\.h5ad"):
        list(runs.rows(1))
