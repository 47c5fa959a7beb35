"""The agents' networks: independence of agents, conv against a loop, permuting categories."""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch

from mixvae.networks import wide_input
from mixvae.networks.agents import Agents, Categorisers
from mixvae.networks.axes import permute_categories, replace_agents
from mixvae.networks.conv import ConvDecoder, ConvEncoder
from mixvae.networks.gan import HeadedEncoder
from mixvae.networks.mlp import MLPDecoder, MLPEncoder
from mixvae.objectives.likelihoods import Bernoulli, Gaussian, Likelihood, SquaredError

A, B, K, S = 3, 5, 4, 2
MLP = (
    partial(MLPEncoder, hidden=(9, 6), batch_norm="before"),
    partial(MLPDecoder, hidden=(6, 9), batch_norm="after"),
)
CONV = (
    partial(ConvEncoder, channels=(3, 5), features=8),
    partial(ConvDecoder, channels=(5, 3), features=8),
)
GAN = (  # InfoGAN's, with a layer of Q's own
    partial(
        HeadedEncoder,
        trunk=partial(ConvEncoder, channels=(3, 5), features=8, batch_norm=True, slope=0.01),
        features=4,
        slope=0.01,
    ),
    partial(ConvDecoder, channels=(5, 3), features=8, batch_norm=True),
)
SHAPES = [(MLP, (7,)), (MLP, (1, 4, 4)), (CONV, (1, 28, 28)), (CONV, (2, 13, 7)), (GAN, (1, 12, 8))]


def make(
    nets: tuple, shape: tuple[int, ...], num_agents: int = A, state_dim: int = S, **options: Any
) -> Agents:
    encoder, decoder = nets
    return Agents(
        shape=shape,
        num_agents=num_agents,
        num_categories=K,
        state_dim=state_dim,
        encoder=encoder,
        decoder=decoder,
        **options,
    ).double()


def one_agent(agents: Agents, nets: tuple, shape: tuple[int, ...], agent: int) -> Agents:
    """A single-agent copy of one agent's slice, cut along axis 0 of every tensor."""
    single = make(nets, shape, num_agents=1)
    with torch.no_grad():
        for own, source in zip(
            single.state_dict().values(), agents.state_dict().values(), strict=True
        ):
            share = source.shape[0] // A
            own.copy_(source[agent * share : (agent + 1) * share])
    return single


def run(agents: Agents, x: torch.Tensor, c: torch.Tensor, s: torch.Tensor) -> list[torch.Tensor]:
    features = agents.features(x)
    return [agents.logits(features), *agents.state(features, c), agents.decode(c, s)]


@pytest.mark.parametrize(("nets", "shape"), SHAPES)
def test_batched_agents_equal_a_loop_of_single_agents(nets: tuple, shape: tuple) -> None:
    agents = make(nets, shape)
    x, c, s = torch.randn(A, B, *shape), torch.rand(A, B, K), torch.randn(A, B, S)
    x, c, s = x.double(), c.double(), s.double()
    outputs = run(agents, x, c, s)
    assert outputs[-1].shape == (A, B, *shape)
    for agent in range(A):
        one = slice(agent, agent + 1)
        single = run(one_agent(agents, nets, shape, agent), x[one], c[one], s[one])
        for ours, theirs in zip(outputs, single, strict=True):
            torch.testing.assert_close(ours[one], theirs)


@pytest.mark.parametrize(("nets", "shape"), SHAPES)
def test_shared_input_equals_an_expanded_one(nets: tuple, shape: tuple) -> None:
    agents = make(nets, shape)
    x = torch.randn(B, *shape).double()
    torch.testing.assert_close(agents.features(x), agents.features(x.expand(A, *x.shape)))


@pytest.mark.parametrize(("nets", "shape"), SHAPES)
def test_no_agent_has_a_gradient_in_another(nets: tuple, shape: tuple) -> None:
    agents = make(nets, shape)
    x = torch.randn(A, B, *shape).double()
    features = agents.features(x)
    c = agents.logits(features).softmax(-1)
    mean, _ = agents.state(features, c)
    agents.decode(c, mean)[1].square().sum().backward()
    for parameter in agents.parameters():
        by_agent = parameter.grad.unflatten(0, (A, -1)).flatten(1).abs().sum(1)
        assert by_agent[0] == 0
        assert by_agent[2] == 0
    assert agents.category_head.weight.grad[1].abs().sum() > 0


def test_a_state_that_does_not_see_the_category_is_the_same_in_all() -> None:
    nets = {"encoder": MLP[0], "decoder": MLP[1]}
    sizes = {"shape": (7,), "num_agents": A, "num_categories": K, "state_dim": S}
    agents = Agents(**sizes, **nets, state_sees_category=False).eval()
    features = agents.features(torch.randn(A, B, 7))
    one, other = torch.eye(K).expand(A, K, K)[:, [0]], torch.eye(K).expand(A, K, K)[:, [1]]
    assert torch.equal(agents.state(features, one)[0], agents.state(features, other)[0])
    state = torch.zeros(A, 1, S)
    assert not torch.equal(agents.decode(one, state), agents.decode(other, state))
    parameters = {id(axis.parameter) for axis in agents.category_axes()}
    assert len(parameters) == 3
    assert parameters < {id(parameter) for parameter in agents.parameters()}


def test_state_dropout_drops_what_the_decoder_takes_in_while_training() -> None:
    agents = Agents(
        shape=(7,),
        num_agents=A,
        num_categories=K,
        state_dim=S,
        encoder=MLP[0],
        decoder=partial(MLPDecoder, hidden=(6, 9)),
        state_dropout=0.5,
    )
    c, s = torch.rand(A, 200, K), torch.randn(A, 200, S)
    features = agents.features(torch.randn(A, 200, 7))
    assert torch.equal(agents.state(features, c)[0], agents.state(features, c)[0])
    assert not torch.equal(agents.decode(c, s), agents.decode(c, s))
    agents.eval()
    assert torch.equal(agents.decode(c, s), agents.decode(c, s))


@pytest.mark.parametrize(("nets", "shape"), [(MLP, (7,)), (CONV, (1, 28, 28))], ids=["mlp", "conv"])
def test_a_replaced_agent_goes_on_as_the_other_would(nets: tuple, shape: tuple) -> None:
    agents = make(nets, shape)
    optimizer = torch.optim.Adam(agents.parameters(), lr=1e-2)
    x = torch.randn(B, *shape).double()

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        features = agents.features(x)
        q = agents.logits(features).softmax(-1)
        decoded = agents.decode(q, agents.state(features, q)[0])
        decoded.square().sum().backward()
        optimizer.step()
        return decoded.detach()

    step()
    replace_agents(agents, torch.tensor([2, 1, 2]), optimizer)
    for _ in range(3):  # with the moments of agent 2, running statistics too
        decoded = step()
        torch.testing.assert_close(decoded[0], decoded[2], rtol=0.0, atol=1e-6)
        assert not torch.allclose(decoded[1], decoded[2])


def test_permuting_categories_renames_them_and_changes_nothing_else() -> None:
    agents = make(MLP, (7,)).eval()
    optimizer = torch.optim.Adam(agents.parameters(), lr=1e-2)
    x = torch.randn(A, B, 7).double()

    def loss() -> torch.Tensor:
        features = agents.features(x)
        q = agents.logits(features).softmax(-1)
        mean, logvar = agents.state(features, q)
        return (agents.decode(q, mean) - x).square().sum() + logvar.exp().sum()

    loss().backward()
    optimizer.step()
    features = agents.features(x)
    before, loss_before = agents.logits(features), loss()
    permutations = torch.stack([torch.randperm(K) for _ in range(A)])

    # The same three further steps with and without renaming give the same function.
    twin = make(MLP, (7,)).eval()
    twin.load_state_dict(agents.state_dict())
    twin_optimizer = torch.optim.Adam(twin.parameters(), lr=1e-2)
    twin_optimizer.load_state_dict(deepcopy(optimizer.state_dict()))
    permute_categories(twin.category_axes(), permutations, twin_optimizer)

    after = twin.logits(twin.features(x))
    for agent in range(A):
        torch.testing.assert_close(after[agent], before[agent][:, permutations[agent]])
    for net, steps in ((agents, optimizer), (twin, twin_optimizer)):
        for _ in range(3):
            steps.zero_grad()
            f = net.features(x)
            q = net.logits(f).softmax(-1)
            mean, logvar = net.state(f, q)
            value = (net.decode(q, mean) - x).square().sum() + logvar.exp().sum()
            value.backward()
            steps.step()
        net.last_value = value.detach()
    torch.testing.assert_close(agents.last_value, twin.last_value)
    assert agents.last_value < loss_before


@pytest.mark.parametrize("likelihood", [SquaredError(), Gaussian(0.3), Bernoulli()])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("nets", "shape"), [SHAPES[1], SHAPES[2]])
def test_the_cheaper_way_explains_samples_as_well(
    likelihood: Likelihood, shared: bool, nets: tuple, shape: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = make(nets, shape)
    x = torch.rand(*(() if shared else (A,)), B, *shape, dtype=torch.float64)
    c, s = torch.rand(A, B, K, dtype=torch.float64), torch.randn(A, B, S, dtype=torch.float64)
    expected = likelihood.nll(agents.decode(c, s), x)
    for least in (1, 2**30):
        monkeypatch.setattr(wide_input, "LEAST_SIZE", least)
        torch.testing.assert_close(agents.nll(c, s, x, likelihood), expected)


def test_categories_and_states_are_inferred_in_float32_under_mixed_precision() -> None:
    agents = make(MLP, (7,)).float()
    x, c, s = torch.randn(A, B, 7), torch.rand(A, B, K), torch.randn(A, B, S)
    with torch.autocast("cpu", torch.bfloat16):
        features = agents.features(x)
        logits, state = agents.logits(features), agents.state(features, c)
        assert features.dtype == agents.decode(c, s).dtype == torch.bfloat16
    assert logits.dtype == state[0].dtype == state[1].dtype == torch.float32
    exact = agents.category_head(features.float())
    assert torch.equal(logits, exact)


def test_categorisers_name_as_their_agents_do_and_keep_nothing_else() -> None:
    agents = make(MLP, (7,), state_dim=0).eval()
    categorisers = Categorisers(agents)
    x = torch.randn(B, 7).double()
    features = categorisers.features(x)
    assert torch.equal(categorisers.logits(features), agents.logits(agents.features(x)))
    assert [part.shape for part in categorisers.state(features, features)] == [(A, B, 0)] * 2
    kept = {name.split(".")[0] for name, _ in categorisers.named_parameters()}
    assert kept == {"encoder", "category_head"}
    for parameter, axis in categorisers.category_axes():
        assert parameter.shape[axis] == K


def test_initial_scales_are_the_deviations_of_each_layers_first_weights() -> None:
    scales = (0.1, 2.0, 1e-4)
    agents = Agents(
        shape=(400,),
        num_agents=2,
        num_categories=200,
        state_dim=0,
        encoder=partial(MLPEncoder, hidden=(300, 250), batch_norm="before"),
        decoder=partial(MLPDecoder, hidden=(6,)),
        initial_scales=scales,
    )
    layers = [agents.encoder.layers[0], agents.encoder.layers[3], agents.category_head]
    for layer, scale in zip(layers, scales, strict=True):
        expected = scale * (2 / layer.weight.shape[1]) ** 0.5
        # Of n normal numbers the deviation is within 1 / sqrt(2 n) of the true one, about.
        torch.testing.assert_close(layer.weight.std().item(), expected, rtol=0.02, atol=0.0)
        assert not layer.bias.any()


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 1.0, 0.0), (1.0,) * 4])
def test_initial_scales_of_another_number_or_of_0_are_refused(scales: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"initial_scales must hold 3 numbers above 0.*got"):
        make(MLP, (7,), initial_scales=scales)
