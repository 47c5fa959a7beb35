import numpy as np
import pytest
import torch

from mixvae.networks.components import BatchAlignment
from mixvae.objectives.batch_effects import batch_effects


def clouds(seed=0, missing=(), num=1200):
    """Points of four types and two batches, without and with an effect of the second batch."""
    random = np.random.default_rng(seed)
    kind, batch = random.integers(0, 4, num), random.integers(0, 2, num)
    batch[np.isin(kind, missing)] = 0
    centres = random.normal(0, 8, (4, 6))
    plain = centres[kind] + random.normal(size=(num, 6))
    own = random.normal(0, 0.7, (4, 6))
    moved = plain + batch[:, None] * (random.normal(0, 2, 6) + own[kind])
    one_hot = torch.eye(2)[batch]
    return [torch.tensor(x, dtype=torch.float32) for x in (plain, moved)], one_hot, kind, batch


def aligned(points, one_hot):
    layer = BatchAlignment(points.shape[1], one_hot.shape[1])
    layer.load(batch_effects(points, one_hot)._asdict())
    return layer, layer(points, one_hot)


@pytest.mark.parametrize("missing", [(), (0,), (0, 3)])
def test_types_of_both_batches_coincide_and_stay_apart(missing):
    (_, moved), one_hot, kind, batch = clouds(missing=missing)
    _, after = aligned(moved, one_hot)
    for one in range(4):
        mine = kind == one
        mean = [after[mine & (batch == number)].mean(0) for number in (0, 1)]
        others = torch.stack([after[kind == other].mean(0) for other in range(4) if other != one])
        if one not in missing:
            assert (mean[0] - mean[1]).norm() < 0.6
            before = [moved[mine & (batch == number)].mean(0) for number in (0, 1)]
            assert (before[0] - before[1]).norm() > 3
        assert torch.cdist(after[mine].mean(0)[None], others).min() > 6
        # a type keeps its spread
        assert 0.8 < after[mine & (batch == 0)].std(0).mean() < 1.2


def test_points_without_an_effect_hardly_move():
    (plain, _), one_hot, *_ = clouds()
    _, after = aligned(plain, one_hot)
    assert (after - plain).norm(dim=1).mean() < 0.4


def test_effects_are_a_function_of_the_points_alone_and_leave_the_generator():
    (_, moved), one_hot, *_ = clouds(num=300)
    torch.manual_seed(3)
    first, state = batch_effects(moved, one_hot), torch.get_rng_state()
    torch.manual_seed(3)
    assert torch.equal(state, torch.get_rng_state())
    for one, other in zip(first, batch_effects(moved, one_hot), strict=True):
        assert torch.equal(one, other)


def test_a_point_is_moved_as_the_mixture_says_for_copies_of_several_agents():
    (_, moved), one_hot, *_ = clouds(num=300)
    layer, after = aligned(moved, one_hot)
    both = layer(torch.stack([moved, moved]), one_hot)
    assert torch.allclose(both, torch.stack([after, after]), atol=1e-4)
    i, b = 7, int(one_hot[7].argmax())
    effects = batch_effects(moved, one_hot)
    z = moved[i] - effects.shift[b]
    logits = effects.log_weights[b] - 0.5 * (
        (z - effects.centres - effects.offsets[b]).square() * effects.precision
    ).sum(-1)
    assert torch.allclose(after[i], z - logits.softmax(0) @ effects.offsets[b], atol=1e-3)


def test_constant_dimensions_and_a_batch_without_points_are_no_obstacle():
    (_, moved), one_hot, *_ = clouds(num=300)
    wide = torch.cat([moved, torch.zeros(300, 2)], dim=1)
    three = torch.cat([one_hot, torch.zeros(300, 1)], dim=1)
    _, after = aligned(wide, three)
    assert after.isfinite().all()
    assert (after[:, 6:] == 0).all()
