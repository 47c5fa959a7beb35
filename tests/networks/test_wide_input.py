import pytest
import torch

from mixvae.networks import wide_input
from mixvae.networks.batched import BatchedLinear, ByteDropout
from mixvae.networks.mlp import MLPEncoder
from mixvae.networks.wide_input import _one_by_one, drop_and_apply

A, B, D, H = 3, 9, 21, 4


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide_input, "LEAST_SIZE", 1)


def gradients(literal: bool, x: torch.Tensor, dropout: ByteDropout, layer: BatchedLinear) -> list:
    """The output, and the gradient of a function of it that tells every entry apart."""
    torch.manual_seed(0)
    y = layer(dropout(x)) if literal else drop_and_apply(dropout, layer, x)
    wanted = [*layer.parameters(), *([x] if x.requires_grad else [])]
    weights = torch.arange(y.numel(), dtype=y.dtype).view_as(y)
    return [y, *torch.autograd.grad((y.square() * weights).sum(), wanted)]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["shared", "own copies", "with a gradient"])
@pytest.mark.parametrize("bias", [True, False])
def test_one_buffer_gives_what_dropout_and_layers_give(p: float, kind: str, bias: bool) -> None:
    dropout, layer = ByteDropout(p), BatchedLinear(A, D, H, bias=bias).double()
    x = torch.randn(B, D, dtype=torch.float64).expand(A, B, D)
    if kind == "own copies":
        x = torch.randn(A, B, D, dtype=torch.float64)
    elif kind == "with a gradient":
        x = x.clone().requires_grad_()
    for literal, ours in zip(
        gradients(True, x, dropout, layer), gradients(False, x, dropout, layer), strict=True
    ):
        torch.testing.assert_close(ours, literal, rtol=1e-12, atol=1e-9)


def test_mixed_precision_rounds_no_more_than_the_literal_form() -> None:
    dropout, layer = ByteDropout(0.5), BatchedLinear(A, 500, H)
    x = torch.randn(B, 500).expand(A, B, 500)
    exact = gradients(True, x, dropout, layer)
    with torch.autocast("cpu", torch.bfloat16):
        literal, ours = (gradients(kind, x, dropout, layer) for kind in (True, False))
    assert ours[0].dtype == torch.bfloat16
    for a, b, c in zip(exact, literal, ours, strict=True):
        assert b.dtype == c.dtype
        assert (c - a).norm() < 1.5 * (b - a).norm() + 1e-6


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_agents_one_by_one_give_what_all_at_once_give(bias: bool, shared: bool) -> None:
    layer = BatchedLinear(A, D, H, bias=bias).double()
    x = torch.randn(A, B, D, dtype=torch.float64)
    x = x[0].expand(A, B, D) if shared else x.requires_grad_()
    weights = torch.randn(A, B, H, dtype=torch.float64)
    wanted = [*layer.parameters(), *([x] if x.requires_grad else [])]
    found = []
    for y in (layer(x), _one_by_one(ByteDropout(0.0), layer, x)):
        found.append([y, *torch.autograd.grad((y * weights).sum(), wanted)])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("mixed", [False, True])
def test_what_is_dropped_is_right_in_the_mean(mixed: bool, device: torch.device) -> None:
    draws, dropout = 4000, ByteDropout(0.3)
    layer = BatchedLinear(draws, D, H).to(device)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter[:] = parameter[:1].clone()
    x = torch.randn(B, D, device=device).expand(draws, B, D)
    with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
        y = drop_and_apply(dropout, layer, x).float()
    exact = layer(x)[0]
    error = y.std(dim=0) / draws**0.5
    assert ((y.mean(dim=0) - exact).abs() < 5 * error + (0.01 if mixed else 0)).all()
    # Each agent drops features of its own: the variance is that of independent ones.
    kept = 1 - dropout.threshold / 256
    variance = x[0].square() @ layer.weight[0].square() * (1 - kept) / kept
    torch.testing.assert_close(y.var(dim=0), variance, rtol=0.15, atol=0.01)


@pytest.mark.parametrize("training", [True, False])
def test_the_first_layer_is_literal_where_nothing_is_dropped(training: bool) -> None:
    layer, dropout = BatchedLinear(A, D, H), ByteDropout(0.0 if training else 0.5).train(training)
    x = torch.randn(B, D).expand(A, B, D)
    assert torch.equal(drop_and_apply(dropout, layer, x), layer(x))


def test_agents_that_share_the_input_share_what_is_dropped() -> None:
    layer = BatchedLinear(A, D, H)
    layer.weight.data[:] = layer.weight.data[0].clone()
    layer.bias.data.zero_()
    y = drop_and_apply(ByteDropout(0.5), layer, torch.randn(B, D))
    torch.testing.assert_close(y, y[:1].expand_as(y))


def test_a_wide_encoder_is_a_small_one_at_a_larger_size(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = MLPEncoder(A, (D,), hidden=(6, H), batch_norm="after", input_dropout=0.5)
    x = torch.randn(B, D).expand(A, B, D)
    outputs = []
    for least in (1, 2**30):
        monkeypatch.setattr(wide_input, "LEAST_SIZE", least)
        torch.manual_seed(0)
        outputs.append(encoder(x))
    torch.testing.assert_close(*outputs)
