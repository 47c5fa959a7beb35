import pytest
import torch

from experiments.bench.modalities import build_model, random_batch
from experiments.modality_loop import ModalityLoop, Widths, copy_weights


@pytest.mark.parametrize("hidden", [(6, 5), None])
@pytest.mark.parametrize("features", [(4,), (4, 7), (3, 8, 5)])
def test_the_loop_has_the_loss_and_the_gradients_of_the_model(
    features: tuple[int, ...], hidden: tuple[int, ...] | None
) -> None:
    widths = Widths(features, hidden, batch_size=9)
    model, loop = build_model(widths).double(), ModalityLoop(widths).double()
    copy_weights(model, loop)
    batch = random_batch(widths, torch.device("cpu"))
    batch = batch._replace(x=tuple(x.double() for x in batch.x))
    torch.manual_seed(1)
    # The model's means, and so its draws, lie event by event in memory.
    shape, strides = (len(features), 9, 2), (2, 2 * len(features), 1)
    noise = torch.empty_strided(shape, strides, dtype=torch.float64).normal_()
    expected = loop.loss(batch.x, noise)
    expected.backward()
    torch.manual_seed(1)
    actual = model.training_step(batch, 0)["loss"]
    actual.backward()
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)

    # The gradients as weights of a third model, so that the same copying lines them up.
    for parameter in model.parameters():
        parameter.data.copy_(parameter.grad)
    gradients = ModalityLoop(widths).double()
    copy_weights(model, gradients)
    named = dict(gradients.named_parameters())
    for name, parameter in loop.named_parameters():
        torch.testing.assert_close(named[name].detach(), parameter.grad, rtol=1e-9, atol=1e-9)
    sizes = [sum(p.numel() for p in module.parameters()) for module in (model, loop)]
    assert sizes[0] == sizes[1]
