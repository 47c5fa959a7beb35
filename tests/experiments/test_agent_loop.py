import pytest
import torch

from experiments.agent_loop import AgentLoop, Noise, Sizes, copy_weights
from experiments.bench.agents import build_model
from mixvae.contracts import Batch
from mixvae.networks import wide_input

DIGITS = Sizes(
    features=12,
    categories=4,
    state_dim=3,
    batch_size=7,
    encoder=(9, 8, 5),
    decoder=(6, 8),
    batch_norm="before",
    dropout=0.0,
    tau=0.7,
    double_softmax=False,
    temperature=0.67,
    binary=True,
)
GENES = DIGITS._replace(
    batch_norm="after", double_softmax=True, binary=False, tau=0.05, state_dim=2, temperature=1.0
)


IMAGES = DIGITS._replace(
    features=64, encoder=(9,), decoder=(6,), batch_norm="none", channels=(3, 5)
)


@pytest.mark.parametrize("num_agents", [1, 3])
@pytest.mark.parametrize(
    ("sizes", "wide"),
    [
        (DIGITS, False),
        (GENES, False),
        (GENES, True),
        (DIGITS._replace(batch_norm="none"), False),
        (IMAGES, False),
    ],
)
def test_the_loop_has_the_loss_and_the_gradients_of_the_batched_model(
    num_agents: int, sizes: Sizes, wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wide_input, "LEAST_SIZE", 1 if wide else 2**30)
    model = build_model(num_agents, sizes).double().train()
    loop = AgentLoop(num_agents, sizes).double().train()
    copy_weights(model, loop)
    shape = (num_agents, sizes.batch_size)
    x = torch.rand(sizes.batch_size, *sizes.shape, dtype=torch.float64)
    rows = torch.arange(sizes.batch_size)

    torch.manual_seed(1)
    exponential = torch.empty(*shape, sizes.categories, dtype=torch.float64).exponential_()
    normal = torch.empty(*shape, sizes.state_dim, dtype=torch.float64).normal_()
    expected = loop.loss(x, Noise(exponential, normal))
    expected.backward()
    torch.manual_seed(1)
    actual = model.training_step(Batch(x, rows, rows), 0)["loss"]
    actual.backward()
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)

    # The gradients as weights of a third model, so that the same copying lines them up.
    for parameter in model.parameters():
        parameter.data.copy_(parameter.grad)
    gradients = AgentLoop(num_agents, sizes).double()
    copy_weights(model, gradients)
    named = dict(gradients.named_parameters())
    # A gradient that is 0 in theory, such as a bias' before batch norm, is a sum of large parts:
    # its rounding error goes with the largest gradient, and differs between processors.
    largest = max(float(parameter.grad.abs().max()) for parameter in loop.parameters())
    for name, parameter in loop.named_parameters():
        torch.testing.assert_close(
            named[name].detach(), parameter.grad, rtol=1e-9, atol=1e-9 + 1e-14 * largest, msg=name
        )
