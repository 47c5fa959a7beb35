import pytest
import torch

from mixvae.objectives.likelihoods import Gaussian, SquaredError
from mixvae.objectives.linear_error import _LinearSquaredError

A, B, H, D = 3, 8, 5, 17


def parts(
    dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> list[torch.Tensor]:
    torch.manual_seed(0)
    shapes = (A, B, H), (A, H, D), (A, 1, D)
    return [torch.randn(shape, dtype=dtype, device=device).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("likelihood", [SquaredError(), Gaussian(variance=0.3)])
@pytest.mark.parametrize("shared", ["no", "once", "expanded"])
def test_the_error_of_a_layer_is_the_error_of_its_output(
    likelihood: SquaredError | Gaussian, shared: str, device: torch.device
) -> None:
    hidden, weight, bias = parts(device=device)
    x = torch.randn((A, B, D) if shared == "no" else (B, D), dtype=torch.float64, device=device)
    x = x.expand(A, B, D) if shared == "expanded" else x
    literal = likelihood.nll(hidden @ weight + bias, x)
    ours = likelihood.layer_nll(hidden, weight, bias, x)
    torch.testing.assert_close(ours, literal, rtol=1e-12, atol=1e-12)
    factors = torch.arange(A * B, dtype=torch.float64, device=device).view(A, B)
    expected, got = (
        torch.autograd.grad((value * factors).sum(), [hidden, weight, bias])
        for value in (literal, ours)
    )
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-9)


def test_a_layer_without_a_bias() -> None:
    hidden, weight, _ = parts()
    x = torch.randn(A, B, D, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda *inputs: _LinearSquaredError.apply(*inputs, None, x), (hidden, weight)
    )
    error = _LinearSquaredError.apply(hidden, weight, None, x)
    torch.testing.assert_close(error, SquaredError().nll(hidden @ weight, x))


def test_the_gradient_is_that_of_finite_differences() -> None:
    x = torch.randn(A, B, D, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda *inputs: SquaredError().layer_nll(*inputs, x), parts(), fast_mode=True
    )


def test_mixed_precision_rounds_no_more_than_the_literal_form(device: torch.device) -> None:
    inputs, x = parts(torch.float32, device), torch.randn(B, D, device=device)
    family, found = SquaredError(), []
    for mixed, literal in ((False, True), (True, True), (True, False)):
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            hidden, weight, bias = inputs
            nll = (
                family.nll(torch.baddbmm(bias, hidden, weight), x.expand(A, B, D))
                if literal
                else family.layer_nll(*inputs, x)
            )
            assert nll.dtype == torch.float32
            found.append([nll, *torch.autograd.grad(nll.mean(), inputs)])
    for exact, literal, ours in zip(*found, strict=True):
        assert (ours - exact).norm() < 1.5 * (literal - exact).norm() + 1e-6
