"""What the evaluation callback logs is what its metric says, and it warns once."""

from __future__ import annotations

import logging

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from mixvae.callbacks.evaluation import Evaluation
from mixvae.contracts import Balance, Batch
from mixvae.evaluation.mixture import MixtureEvaluation


def expected(model, data, num_classes: int = 4) -> dict[str, float]:
    """Evaluate all rows at once."""
    batch = Batch(*(torch.stack(column) for column in zip(*data.rows, strict=True)))
    metric = MixtureEvaluation(model.num_agents, model.num_categories, num_classes)
    with torch.no_grad():
        metric.update(model.step(batch), batch.label)
    return {name: value.item() for name, value in metric.compute().items()}


@pytest.mark.parametrize("split", ["val", "test"])
def test_logged_values_are_those_of_the_whole_split(
    quiet_trainer, tiny_model, tiny_data, split: str
) -> None:
    trainer = quiet_trainer(callbacks=[Evaluation()])
    run = {"val": trainer.validate, "test": trainer.test}[split]
    (logged,) = run(tiny_model, datamodule=tiny_data, verbose=False)
    values = {f"{split}/{name}": value for name, value in expected(tiny_model, tiny_data).items()}
    assert logged == pytest.approx(values, rel=1e-5)


def test_values_after_training_are_those_of_the_trained_model(
    quiet_trainer, tiny_model, tiny_data
) -> None:
    # The sanity check before training and the first epoch must leave no trace in the second.
    trainer = quiet_trainer(callbacks=[Evaluation()], max_epochs=2, num_sanity_val_steps=2)
    trainer.fit(tiny_model, datamodule=tiny_data)
    logged = {n: v.item() for n, v in trainer.callback_metrics.items() if n.startswith("val/")}
    values = {f"val/{name}": value for name, value in expected(tiny_model, tiny_data).items()}
    assert logged == pytest.approx(values, rel=1e-5)


def test_the_sanity_check_logs_nothing(quiet_trainer, tiny_model, tiny_data) -> None:
    seen = []

    class Watch(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            seen.append(set(trainer.callback_metrics))

    trainer = quiet_trainer(callbacks=[Evaluation(), Watch()], num_sanity_val_steps=2)
    trainer.fit(tiny_model, datamodule=tiny_data)
    assert seen == [set()]


def test_without_labels_the_rest_is_logged(quiet_trainer, tiny_model, make_data) -> None:
    trainer = quiet_trainer(callbacks=[Evaluation()])
    (logged,) = trainer.test(tiny_model, datamodule=make_data(num_classes=0), verbose=False)
    assert "test/accuracy" not in logged
    assert "test/consensus" in logged


def test_one_agent_is_evaluated(quiet_trainer, make_model, tiny_data) -> None:
    trainer = quiet_trainer(callbacks=[Evaluation()])
    (logged,) = trainer.test(make_model(num_agents=1), datamodule=tiny_data, verbose=False)
    assert logged["test/accuracy"] == logged["test/accuracy/agent0"]
    assert "test/consensus" not in logged


@pytest.fixture
def said(caplog):
    """Return and forget the levels and messages logged so far."""
    caplog.set_level(logging.INFO, logger="mixvae")

    def read() -> list[tuple[str, str]]:
        records = [one for one in caplog.records if one.name == "mixvae"]
        caplog.clear()
        return [(one.levelname, one.message) for one in records]

    return read


def flatten(model) -> None:
    """Make q(c|x) uniform, and keep it so."""
    for head in model.head:
        head.weight.data.zero_()
        head.bias.data.zero_()
        head.requires_grad_(False)


def test_a_lasting_collapse_is_said_once_after_the_patience(
    quiet_trainer, tiny_model, tiny_data, said
) -> None:
    flatten(tiny_model)
    trainer = quiet_trainer(callbacks=[Evaluation(patience_epochs=2)], max_epochs=4)
    trainer.fit(tiny_model, datamodule=tiny_data)
    ((_, message),) = said()
    assert "after epoch 2: q(c|x) is nearly flat" in message
    assert "1 of 4 categories" in message
    assert trainer.callback_metrics["val/collapse_warning"] == 1.0
    trainer.test(tiny_model, datamodule=tiny_data, verbose=False)
    ((_, message),) = said()
    assert message.startswith("collapse warning on the test data: q(c|x) is nearly flat")


def test_a_collapse_that_ends_is_said_to_be_over(
    quiet_trainer, tiny_model, tiny_data, said
) -> None:
    healthy = {name: value.clone() for name, value in tiny_model.state_dict().items()}
    flatten(tiny_model)

    class Recover(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.current_epoch == 2:
                pl_module.load_state_dict(healthy)

    trainer = quiet_trainer(callbacks=[Evaluation(patience_epochs=0), Recover()], max_epochs=4)
    trainer.fit(tiny_model, datamodule=tiny_data)
    (warned, _), (informed, message) = said()
    assert (warned, informed) == ("WARNING", "INFO")
    assert "collapse over after epoch 3" in message


def test_a_resumed_run_does_not_repeat_the_warning() -> None:
    first = Evaluation()
    state = {"first_reconstruction": 3.5, "collapsed": True}
    first.load_state_dict(state | {"terms": {"coupling": 2.0}})  # of earlier versions
    second = Evaluation()
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == state


def test_data_without_a_data_module_are_refused(quiet_trainer, tiny_model, tiny_data) -> None:
    trainer = quiet_trainer(callbacks=[Evaluation()])
    with pytest.raises(ValueError, match="needs a data module"):
        trainer.test(tiny_model, dataloaders=tiny_data.loader())


def test_pruned_categories_are_left_out_of_the_measures(
    quiet_trainer, tiny_model, tiny_data
) -> None:
    trainer = quiet_trainer(callbacks=[Evaluation()])
    (whole,) = trainer.test(tiny_model, datamodule=tiny_data, verbose=False)
    tiny_model.category_mask[3] = False
    (logged,) = trainer.test(tiny_model, datamodule=tiny_data, verbose=False)
    assert (whole["test/kept_categories"], logged["test/kept_categories"]) == (4, 3)
    assert logged["test/entropy_fraction"] > whole["test/entropy_fraction"]


def test_a_collapse_is_told_with_what_the_model_says_of_its_balance(
    tmp_path, quiet_trainer, tiny_model, tiny_data, caplog, monkeypatch
) -> None:
    flatten(tiny_model)
    balance = Balance(0.5, 0.3, {"kl": 0.5})
    monkeypatch.setattr(type(tiny_model), "balance", lambda self: balance, raising=False)
    (tmp_path / "metrics.csv").write_text("epoch,step,train/kl\n0,9,2\n1,19,4\n")
    evaluation = Evaluation(patience_epochs=0, dirpath=str(tmp_path))
    trainer = quiet_trainer(callbacks=[evaluation])
    trainer.fit(tiny_model, datamodule=tiny_data)
    assert "at 0.5 no category can have a probability above 0.3" in caplog.text
    assert "(tau 0.5, beta 0.5 times the state's KL 2 nats)" in caplog.text
    # Of a checkpoint, the terms are those of the epoch before it was saved.
    best = tmp_path / "best.ckpt"
    trainer.save_checkpoint(best)
    torch.save({**torch.load(best, weights_only=True), "epoch": 1}, best)
    trainer.test(tiny_model, datamodule=tiny_data, ckpt_path=best, verbose=False)
    assert "KL 1 nats" in caplog.text


def test_a_collapse_before_the_schedules_end_has_no_other_cause(
    quiet_trainer, tiny_model, tiny_data, said
) -> None:
    flatten(tiny_model)
    tiny_model.settled_epoch = 7.0
    trainer = quiet_trainer(callbacks=[Evaluation(patience_epochs=2)], max_epochs=3)
    trainer.fit(tiny_model, datamodule=tiny_data)
    assert said() == []
    trainer.test(tiny_model, datamodule=tiny_data, verbose=False)
    ((_, message),) = said()
    assert message.endswith(
        "likely cause: the schedules end at epoch 7, and the weights are from epoch 3; train 8"
        " epochs or more before judging the categories"
    )
