"""A model of the user's own: a new term is three edits, shared arguments need none."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from toys import batch, make

from mixvae.augmenters.noise import Identity
from mixvae.objectives.schedules import Linear

# Its weight in the constructor, its factor and its value. The third edit is the key in the yaml.
OWN = '''
from mixvae.modules import CplMixVAE
from mixvae.modules.base import weight_schedule


class Sparse(CplMixVAE):
    """CplMixVAE that charges for the largest probability."""

    def __init__(self, *, sparsity_weight=0.0, **shared):
        super().__init__(**shared)
        self.sparsity_weight = weight_schedule("sparsity_weight", sparsity_weight)

    def weights(self, epoch):
        return {**super().weights(epoch), "sparsity": self.scale * self.sparsity_weight(epoch)}

    def shared_terms(self, epoch, reconstruction, kl, log_q):
        terms = super().shared_terms(epoch, reconstruction, kl, log_q)
        terms.add("sparsity", log_q.exp().amax(-1))
        return terms
'''
RAMP = "{_target_:mixvae.objectives.schedules.Linear,start:0.0,end:4.0,length:4}"  # of 4 epochs


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "own_sparse_model.py").write_text(OWN)
    monkeypatch.syspath_prepend(folder)
    yield __import__("own_sparse_model").Sparse
    del sys.modules["own_sparse_model"]


def test_a_new_term_is_in_the_loss_the_settled_loss_and_the_balance(own: Any) -> None:
    def build(weight: Any) -> Any:
        return make(own, num_agents=3, augmenter=Identity(), sparsity_weight=weight).double()

    data = batch()._replace(x=batch().x.double())
    model, without = build(Linear(1.0, 4.0, length=6)), build(0.0)
    model._trainer = SimpleNamespace(num_training_batches=1, current_epoch=2)
    assert model.balance().weights["sparsity"] == 2.0
    totals = []
    for one in (model, without):
        torch.manual_seed(0)
        totals.append(one.terms(data))
    with_term, plain = totals
    added = with_term.total() - plain.total()
    # Twice, as each of three agents is in two pairs; the schedule is at 2.
    torch.testing.assert_close(added, 2 * 2.0 * with_term["sparsity"].loss())
    step = model.eval().predict_step(data)
    settled = model.settled_loss(step) - without.eval().settled_loss(step)
    torch.testing.assert_close(settled, 2 * 4.0 * step.posterior.probs.amax(-1).mean() * 3)


def test_it_trains_from_a_config_and_logs_its_term(
    own: Any, train: Callable[..., Any], small: list[str], tmp_path: Path
) -> None:
    words = [*small, "model._target_=own_sparse_model.Sparse", "trainer.limit_train_batches=2"]
    outcome = train(*words, f"+model.sparsity_weight={RAMP}", "model.num_agents=3", "run_dir=run")
    assert outcome.status == 0, outcome.err
    with (tmp_path / "run" / "metrics.csv").open() as file:
        logged = [row["train/sparsity"] for row in csv.DictReader(file) if row["train/sparsity"]]
    assert len(logged) == 2
    assert all(1 / 10 <= float(value) <= 1 for value in logged)


@pytest.mark.parametrize(
    ("word", "culprits"),
    [
        ("+model.sparsity_wieght=1", ["model.sparsity_wieght", "model.sparsity_weight"]),
        ("+model.num_agent=1", ["model.num_agent", "model.num_agents"]),
        ("model.num_categories=2.5", ["model.num_categories", "2.5"]),
        ("+model.sparsity_weight=-1", ["model.sparsity_weight", "-1"]),
    ],
)
def test_its_arguments_are_checked_as_those_of_mixvae(
    own: Any, word: str, culprits: list[str], train: Callable[..., Any], small: list[str]
) -> None:
    outcome = train(*small, "model._target_=own_sparse_model.Sparse", word)
    assert outcome.status != 0
    assert all(culprit in outcome.err for culprit in culprits)
    assert "Traceback" not in outcome.err
