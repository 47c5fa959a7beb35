"""The batched layers equal a loop over ordinary layers, forward and gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mixvae.networks.batched import (
    BatchedBatchNorm,
    BatchedLinear,
    ByteDropout,
    frozen_statistics,
    num_parts,
)

A, B, D, H = 3, 7, 5, 4


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_batched_linear_equals_a_loop_of_linear_layers(shared: bool, bias: bool) -> None:
    layer = BatchedLinear(A, D, H, bias=bias).double()
    loop = [nn.Linear(D, H, bias=bias).double() for _ in range(A)]
    for agent, single in enumerate(loop):
        single.weight.data = layer.weight.data[agent].T.clone()
        if bias:
            single.bias.data = layer.bias.data[agent, 0].clone()
    x = torch.randn(B, D, dtype=torch.float64) if shared else torch.randn(A, B, D).double()
    x.requires_grad_()
    weight = torch.randn(A, B, H).double()

    y = layer(x)
    grads = torch.autograd.grad((y * weight).sum(), [x, *layer.parameters()])
    z = torch.stack([single(x if shared else x[a]) for a, single in enumerate(loop)])
    (expected,) = torch.autograd.grad((z * weight).sum(), [x], retain_graph=True)
    (z * weight).sum().backward()

    torch.testing.assert_close(y, z)
    torch.testing.assert_close(grads[0], expected)
    torch.testing.assert_close(grads[1], torch.stack([s.weight.grad.T for s in loop]))
    if bias:
        torch.testing.assert_close(grads[2][:, 0], torch.stack([s.bias.grad for s in loop]))


def test_an_expanded_input_is_a_shared_one_with_its_gradient() -> None:
    layer = BatchedLinear(A, D, H).double()
    x = torch.randn(B, D, dtype=torch.float64, requires_grad=True)
    expanded, copied = layer(x.expand(A, B, D)), layer(x.expand(A, B, D).contiguous())
    torch.testing.assert_close(expanded, copied)
    weight = torch.randn(A, B, H).double()
    torch.testing.assert_close(
        torch.autograd.grad((expanded * weight).sum(), x)[0],
        torch.autograd.grad((copied * weight).sum(), x)[0],
    )


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("strided", [False, True])
def test_a_batch_in_parts_is_a_batch(bias: bool, strided: bool) -> None:
    layer = BatchedLinear(A, D, H, bias=bias).double()
    x = (
        torch.randn(12, A, D).double().transpose(0, 1)
        if strided
        else torch.randn(A, 12, D).double()
    )
    x.requires_grad_()
    weight = torch.randn(A, 12, H).double()
    whole, cut = layer(x), layer.in_parts(x, 4)
    torch.testing.assert_close(cut, whole)
    wanted = [x, *layer.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad((cut * weight).sum(), wanted),
        torch.autograd.grad((whole * weight).sum(), wanted),
    )


@pytest.mark.parametrize(
    ("batch_size", "parts"), [(1, 1), (512, 1), (1024, 32), (5000, 25), (22_365, 21), (5003, 1)]
)
def test_a_large_batch_is_cut_into_equal_parts(batch_size: int, parts: int) -> None:
    assert num_parts(batch_size) == parts
    assert batch_size % parts == 0


@pytest.mark.parametrize("batch_size", [7, 2000])
def test_devices_agree_on_a_layer(batch_size: int, device: torch.device) -> None:
    layer = BatchedLinear(A, D, H).double()
    x, weight = torch.randn(A, batch_size, D).double(), torch.randn(A, batch_size, H).double()
    expected = [torch.baddbmm(layer.bias, x, layer.weight)]
    expected += torch.autograd.grad((expected[0] * weight).sum(), list(layer.parameters()))
    layer.to(device)
    y = layer(x.to(device))
    found = [y, *torch.autograd.grad((y * weight.to(device)).sum(), list(layer.parameters()))]
    torch.testing.assert_close([value.cpu() for value in found], expected)


def test_batched_linear_starts_on_the_scale_of_linear() -> None:
    weight = BatchedLinear(2, 400, 300).weight
    assert weight.abs().max() <= 1 / 20
    assert weight.std().item() == pytest.approx(nn.Linear(400, 300).weight.std().item(), rel=0.02)


@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm_equals_a_loop_of_batch_norms(affine: bool) -> None:
    ours = BatchedBatchNorm(A, H, momentum=0.01, affine=affine).double()
    loop = [nn.BatchNorm1d(H, affine=affine, momentum=0.01).double() for _ in range(A)]
    if affine:
        nn.init.normal_(ours.weight)
        nn.init.normal_(ours.bias)
        for agent, norm in enumerate(loop):
            norm.weight.data = ours.weight.data[agent]
            norm.bias.data = ours.bias.data[agent]
    for _ in range(3):
        x = torch.randn(A, B, H, dtype=torch.float64) * 3 + 1
        torch.testing.assert_close(ours(x), torch.stack([n(x[a]) for a, n in enumerate(loop)]))
    ours.eval()
    x = torch.randn(A, B, H, dtype=torch.float64)
    torch.testing.assert_close(ours(x), torch.stack([n.eval()(x[a]) for a, n in enumerate(loop)]))


def test_frozen_statistics_leave_the_running_ones_alone() -> None:
    norm = BatchedBatchNorm(A, H)
    x = torch.randn(A, B, H)
    with frozen_statistics(nn.Sequential(norm)):
        frozen = norm(x)
    assert torch.equal(norm.running_mean, torch.zeros(A, H))
    torch.testing.assert_close(norm(x), frozen)
    assert not torch.equal(norm.running_mean, torch.zeros(A, H))


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
def test_byte_dropout_keeps_the_expectation_and_drops_the_share(p: float) -> None:
    x = torch.ones(1001, 999)
    y = ByteDropout(p)(x)
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=0.003)
    assert y.mean().item() == pytest.approx(1.0, abs=0.006)
    # Each byte of a random word must be as random as the others.
    by_byte = (y.flatten()[: 8 * 100_000].view(-1, 8) == 0).float().mean(0)
    assert (by_byte - p).abs().max().item() < 0.01


def test_byte_dropout_is_the_identity_in_evaluation_and_has_its_gradient() -> None:
    layer = ByteDropout(0.5)
    x = torch.randn(4, 6, requires_grad=True)
    y = layer(x)
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x)[0], torch.where(y == 0, 0.0, 2.0))
    assert layer.eval()(x) is x
