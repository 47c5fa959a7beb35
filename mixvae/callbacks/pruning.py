"""Prunes categories by consensus, in rounds within one fit, and selects the model order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from numpy.typing import NDArray

from mixvae.callbacks.checkpoints import checkpoints_of, forget_best
from mixvae.callbacks.lightning_parts import is_debugging
from mixvae.callbacks.measuring import Measured, log_values, measure
from mixvae.callbacks.pictures import save_pictures
from mixvae.callbacks.settings import check_least
from mixvae.contracts import MixtureModel, Prunable
from mixvae.evaluation.consensus import category_consensus
from mixvae.evaluation.model_order import (
    LEAST_CATEGORIES,
    ModelOrder,
    Round,
    check_num_per_round,
    choose_pruned,
    fewest_categories,
    select_order,
)
from mixvae.figures.model_order import model_order
from mixvae.files import write_json, write_table
from mixvae.messages import inform, warn

REASONS = {
    "min_consensus": "every kept category has min_consensus by the pairs of agents that count"
    " (callbacks.pruning.quantile)",
    "max_rounds": "all rounds are done",
    "two_categories": "no more than two categories may be left",
    None: "the search has not come to its end",
}


class Pruning(Callback):
    """Mask the least consensual categories after each round of training; select the model order.

    After `first_epochs` and then every `round_epochs`, one ordered pass over the training data
    measures the consensus, in evaluation mode. The run ends when every kept category reaches
    `min_consensus`, or after `max_rounds` prunings, each followed by a round of training.

    The selected model order is the largest K whose mean consensus reaches `threshold`; its weights
    are `checkpoints/selected.ckpt`. Losses over different K cannot be compared, so the best
    checkpoint is the best since the last pruning. `model_order.json`, `model_order.csv` and
    `figures/model_order.png` are written after each round. Mask, rounds and reason are part of
    every checkpoint, so a stopped run resumes within its round.

    Args:
        round_epochs: Epochs of training after each pruning.
        max_rounds: Prunings at most.
        first_epochs: Epochs before the first measurement; None takes the trainer's max_epochs
            less `max_rounds * round_epochs`.
        min_consensus: Consensus that every kept category should have.
        num_per_round: Categories to prune in a round at most, or the share of the kept ones.
        threshold: Mean consensus that the selected model order should have.
        align: Match the agents' labels before each measurement, so that agents that number a
            category differently do not count as disagreeing.
        quantile: Choose and stop by this quantile of the consensus over the pairs of agents, in
            [0, 1]; None takes the mean. With .75, one agent of six that merges two types cannot
            have them pruned. The mean is recorded in either case.

    Source:
        cpl-mixVAE (Marghi et al.) and its public code, MMIDAS; measured there on a shuffled loader
        without its tail, and the stop by consensus is commented out.
    """

    def __init__(
        self,
        dirpath: str,
        round_epochs: int,
        max_rounds: int,
        first_epochs: int | None = None,
        min_consensus: float = 0.95,
        num_per_round: float = 1,
        threshold: float = 0.95,
        align: bool = True,
        quantile: float | None = None,
    ) -> None:
        check_least("pruning", 1, round_epochs=round_epochs, max_rounds=max_rounds)
        check_least("pruning", 1, first_epochs=first_epochs)
        shares = {"min_consensus": min_consensus, "threshold": threshold, "quantile": quantile or 0}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ValueError(f"callbacks.pruning.{name} must lie in [0, 1], got {share}")
        check_num_per_round(num_per_round)
        self.dirpath = Path(dirpath)
        self.round_epochs, self.max_rounds = round_epochs, max_rounds
        self.first_epochs = first_epochs
        self.min_consensus, self.threshold = min_consensus, threshold
        self.num_per_round = num_per_round
        self.align = align
        self.quantile = quantile
        self.rounds: list[Round] = []
        self.reason: str | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the rounds so far and the plan."""
        rounds = [one._asdict() for one in self.rounds]
        return {"rounds": rounds, "reason": self.reason, "first_epochs": self.first_epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.rounds = [Round(**one) for one in state_dict["rounds"]]
        self.reason = state_dict["reason"]
        self.first_epochs = state_dict["first_epochs"]

    def check(
        self, trainer: Trainer, model: LightningModule, data: LightningDataModule | None
    ) -> None:
        """Reject settings that cannot work, before anything is written."""
        if not isinstance(model, Prunable) or not isinstance(model, MixtureModel):
            raise ValueError(
                f"callbacks=pruning prunes the categories of a mixture, which"
                f" {type(model).__name__} is not; use callbacks=default"
            )
        if model.num_agents < 2:
            raise ValueError(
                "callbacks=pruning needs agents to agree: set model.num_agents to 2 or more, got"
                f" {model.num_agents}"
            )
        if model.num_categories <= LEAST_CATEGORIES:
            raise ValueError(
                f"model.num_categories is {model.num_categories}, which leaves nothing to prune;"
                f" choose more than {LEAST_CATEGORIES}"
            )
        if not callable(getattr(data, "eval_dataloader", None)):
            raise ValueError("callbacks=pruning needs a data module that has eval_dataloader")
        if not is_debugging(trainer):
            self._check_epochs(trainer.max_epochs)

    def _check_epochs(self, max_epochs: int | None) -> None:
        rounds = self.max_rounds * self.round_epochs
        first = 1 if self.first_epochs is None else self.first_epochs
        if max_epochs is None or max_epochs < first + rounds:
            asked = "at least 1" if self.first_epochs is None else str(first)
            raise ValueError(
                f"trainer.max_epochs is {max_epochs}, but pruning asks for {first + rounds}:"
                f" first_epochs ({asked}) + max_rounds ({self.max_rounds}) * round_epochs"
                f" ({self.round_epochs}); change trainer.max_epochs or callbacks.pruning"
            )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check again, for runs without the command line, and plan the epochs."""
        if stage != "fit":
            return
        self.check(trainer, pl_module, getattr(trainer, "datamodule", None))
        self.first_epochs = self.first_measured(trainer.max_epochs or 0)

    def first_measured(self, max_epochs: int) -> int:
        """Return the epochs of training before the first measurement."""
        if self.first_epochs is not None:
            return self.first_epochs
        return max_epochs - self.max_rounds * self.round_epochs

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the reachable orders; end at once if pruning had ended before a stop."""
        assert isinstance(pl_module, MixtureModel)
        if self.reason is not None:
            trainer.should_stop = True
            return
        assert self.first_epochs is not None
        most = pl_module.num_categories
        fewest = fewest_categories(most, self.num_per_round, self.max_rounds)
        inform(
            f"pruning removes at most {most - fewest} categories of those left: measured after"
            f" {self.first_epochs} epochs and then every {self.round_epochs}, at most"
            f" {self.max_rounds} prunings,"
            f" {self.first_epochs + self.max_rounds * self.round_epochs} epochs in all"
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End a round that is due: measure, save the selected weights, prune or stop."""
        assert self.first_epochs is not None
        due = self.first_epochs + len(self.rounds) * self.round_epochs
        if is_debugging(trainer) or self.reason is not None or trainer.current_epoch + 1 < due:
            return
        assert isinstance(pl_module, MixtureModel)
        measured = self._measure_aligned(trainer, pl_module)
        kept = pl_module.category_mask.cpu().numpy()
        consensus = category_consensus(measured.joint, self.quantile)
        pruned = choose_pruned(
            consensus, measured.occupancy, kept, self.min_consensus, self.num_per_round
        )
        self.reason = self._reason_to_stop(consensus[kept], pruned)
        if self.reason is not None:
            trainer.should_stop, pruned = True, ()
        self.rounds.append(self._describe(trainer, measured, pruned))
        order = select_order(self.rounds, self.threshold)
        if order.selected is self.rounds[-1]:
            for callback in checkpoints_of(trainer):
                callback.save_for_test(trainer, self.dirpath / "checkpoints" / "selected.ckpt")
        self._report(trainer, pl_module, order)
        if pruned:
            assert isinstance(pl_module, Prunable)
            pl_module.prune(pruned)
            forget_best(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log and draw the selection."""
        if not self.rounds:
            warn("pruning was never measured: training ended before the first round")
            return
        order = select_order(self.rounds, self.threshold)
        tell = inform if order.threshold_met else warn
        tell(self._statement(order))
        if trainer.is_global_zero:
            selected, met = order.selected.num_categories, order.threshold_met
            figure = model_order(self.rounds, selected, self.threshold, met)
            save_pictures(trainer, self.dirpath, iter([("model_order", figure)]))

    def _reason_to_stop(
        self, consensus: NDArray[np.float64], pruned: tuple[int, ...]
    ) -> str | None:
        if (consensus >= self.min_consensus).all():
            return "min_consensus"
        if len(self.rounds) == self.max_rounds:
            return "max_rounds"
        return None if pruned else "two_categories"

    def _describe(self, trainer: Trainer, measured: Measured, pruned: tuple[int, ...]) -> Round:
        values = measured.values
        return Round(
            number=len(self.rounds),
            epoch=trainer.current_epoch + 1,
            num_categories=round(values["kept_categories"]),
            consensus=values["consensus"],
            min_consensus=values["min_consensus"],
            populated_categories=round(values["populated_categories"]),
            reconstruction=values["reconstruction"],
            entropy=values["entropy"],
            pruned=pruned,
        )

    def _measure_aligned(self, trainer: Trainer, model: LightningModule) -> Measured:
        measured = measure(trainer, model)
        assert isinstance(model, Prunable)
        # The vote depends on the numbering, so it is measured again after a change.
        if self.align and model.align(torch.from_numpy(measured.joint)):
            measured = measure(trainer, model)
        return measured

    def _report(self, trainer: Trainer, model: LightningModule, order: ModelOrder) -> None:
        """Write the manifest and log the round."""
        last = self.rounds[-1]
        if trainer.is_global_zero:
            self._write_manifest(order)
        values = {
            "categories": last.num_categories,
            "consensus": last.consensus,
            "min_consensus": last.min_consensus,
            "selected": order.selected.num_categories,
            "threshold_met": order.threshold_met,
        }
        log_values(model, "model_order", values)
        inform(
            f"round {last.number} after epoch {last.epoch}: K {last.num_categories}, consensus"
            f" {last.consensus:.3f}, least {last.min_consensus:.3f}"
            + (f"; pruning category {', '.join(map(str, last.pruned))}" if last.pruned else "")
        )

    def _statement(self, order: ModelOrder) -> str:
        """One sentence that names the selected model order and why pruning ended."""
        selected = order.selected
        met = "reaches" if order.threshold_met else "is the best, but does not reach"
        ended = "pruning ended because " if self.reason is not None else ""
        return (
            f"model order {selected.num_categories} (round {selected.number}): mean consensus"
            f" {selected.consensus:.3f} {met} the threshold {self.threshold:g};"
            f" {ended}{REASONS[self.reason]}"
        )

    def _write_manifest(self, order: ModelOrder) -> None:
        """Write `model_order.json` and `model_order.csv`."""
        manifest = {
            "statement": self._statement(order),
            "selected_order": order.selected.num_categories,
            "selected_round": order.selected.number,
            "threshold": self.threshold,
            "threshold_met": order.threshold_met,
            "reason": self.reason,
            "checkpoint": "checkpoints/selected.ckpt",
            "rounds": [one._asdict() for one in self.rounds],
        }
        write_json(self.dirpath / "model_order.json", manifest)
        cells = [{**one._asdict(), "pruned": " ".join(map(str, one.pruned))} for one in self.rounds]
        lines = [[*one.values(), int(one["number"] == order.selected.number)] for one in cells]
        write_table(self.dirpath / "model_order.csv", [*Round._fields, "selected"], lines)
