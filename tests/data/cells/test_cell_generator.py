import numpy as np
import pytest

from mixvae.data.cells.generator import generate_cells


@pytest.fixture(scope="module")
def cells():
    return generate_cells(num_cells=1200, num_genes=300, num_types=6, num_states=2, seed=3)


def test_the_same_seed_gives_the_same_cells_and_another_does_not(cells):
    again = generate_cells(num_cells=1200, num_genes=300, num_types=6, num_states=2, seed=3)
    other = generate_cells(num_cells=1200, num_genes=300, num_types=6, num_states=2, seed=4)
    assert (again.counts != cells.counts).nnz == 0
    assert np.array_equal(again.state, cells.state)
    assert (other.counts != cells.counts).nnz > 0
    assert np.array_equal(cells.counts.data, np.floor(cells.counts.data))
    assert len({*cells.gene_names}) == 300
    assert len({*cells.cell_names}) == 1200


def test_sizes_are_unequal_by_the_ratio_asked_for():
    sizes = np.bincount(
        generate_cells(num_cells=2000, num_genes=200, num_types=5, size_ratio=8).type
    )
    assert sizes.sum() == 2000
    assert sizes.max() / sizes.min() == pytest.approx(8, rel=0.02)
    equal = np.bincount(
        generate_cells(num_cells=2000, num_genes=200, num_types=5, size_ratio=1).type
    )
    assert np.ptp(equal) == 0


def test_states_are_standardised_and_independent_of_library_and_activity(cells):
    assert np.abs(cells.state.mean(0)).max() < 0.1
    assert cells.state.std(0) == pytest.approx([1, 1], rel=0.05)
    joint = np.column_stack([cells.state, cells.activity, np.log(cells.library)])
    correlation = np.corrcoef(joint.T) - np.eye(joint.shape[1])
    assert np.abs(correlation).max() < 0.1


def test_programmes_are_of_the_size_asked_for_and_leave_markers_alone(cells):
    markers = set(np.concatenate(cells.design.markers).tolist())
    assert len(markers) == 6 * 12
    for genes, effect in zip(cells.programme_genes, cells.design.effects, strict=True):
        assert [int(np.count_nonzero(row)) for row in effect] == [25, 25]
        assert not markers & set(genes.tolist())
        assert (effect > 0).any()
        assert (effect < 0).any()


def test_a_gene_follows_the_state_of_its_type_and_of_no_other():
    # a little is left for other genes: a library is shared out, so what others lose they gain
    cells = generate_cells(
        num_cells=4000, num_genes=200, num_types=2, num_activities=0, dropout=0, depth=50, seed=1
    )
    dense = cells.counts.toarray()
    share = np.log1p(1e4 * dense / dense.sum(1, keepdims=True))
    for number, (genes, effect) in enumerate(
        zip(cells.programme_genes, cells.design.effects[:, 0], strict=True)
    ):
        own, other = cells.type == number, cells.type != number
        for gene in genes:
            slope = np.corrcoef(share[own, gene], cells.state[own, 0])[0, 1]
            assert slope * np.sign(effect[gene]) > 0.5
            if gene not in cells.programme_genes[1 - number]:
                assert abs(np.corrcoef(share[other, gene], cells.state[other, 0])[0, 1]) < 0.4


def test_counts_have_the_library_size_and_the_variance_of_a_negative_binomial():
    cells = generate_cells(
        num_cells=3000,
        num_genes=60,
        num_types=1,
        num_activities=0,
        programme_strength=0,
        depth_spread=0,
        dropout=0,
        dispersion=2.0,
        num_programme_genes=20,
    )
    assert cells.counts.sum(axis=1).mean() == pytest.approx(20 * 60, rel=0.02)
    dense = cells.counts.toarray().astype(np.float64)
    mean, variance = dense.mean(0), dense.var(0)
    assert variance.sum() == pytest.approx((mean + mean**2 / 2).sum(), rel=0.1)


def test_dropout_loses_small_counts_more_often():
    kept, lost = (
        generate_cells(num_cells=1000, num_genes=200, num_types=2, dropout=dropout, seed=0)
        for dropout in (0.0, 0.9)
    )
    full, thin = kept.counts.toarray().mean(0), lost.counts.toarray().mean(0)
    share = thin / full
    low, high = np.argsort(full)[:50], np.argsort(full)[-50:]
    assert share[low].mean() < 0.5 < 0.9 < share[high].mean()


def test_sisters_are_nearer_to_each_other_than_to_others(cells):
    profile, family = cells.design.profile, cells.design.family
    distance = np.square(profile[:, None] - profile).sum(-1)
    sisters = (family[:, None] == family) & ~np.eye(6, dtype=bool)
    assert distance[sisters].max() < distance[family[:, None] != family].min()
