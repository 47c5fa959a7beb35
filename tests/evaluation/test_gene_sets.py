"""Gene sets are read or refused by line, and scored like scipy's rank-sum test."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from mixvae.evaluation.gene_sets import find_members, read_gene_sets, score_sets

GENES = [f"g{i}" for i in range(50)]
NEEDS_TOML = pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is of Python 3.11")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_gmt_file_gives_its_sets(tmp_path: Path) -> None:
    text = "heat\thttp://x\tHsp1\tHsp2\tHsp1\t\n\ncold shock\t\tCirbp\n"
    sets = read_gene_sets(write(tmp_path / "a.gmt", text))
    assert sets == {"heat": ("Hsp1", "Hsp2"), "cold shock": ("Cirbp",)}


@NEEDS_TOML
def test_a_toml_file_gives_the_same_sets(tmp_path: Path) -> None:
    text = 'heat = ["Hsp1", "Hsp2", "Hsp1"]\n"cold shock" = ["Cirbp"]\n'
    sets = read_gene_sets(write(tmp_path / "a.toml", text))
    assert sets == {"heat": ("Hsp1", "Hsp2"), "cold shock": ("Cirbp",)}


BAD_GMT = [
    ("a.gmt", "a\tb\tg1\nc\td\n", "line 2: .* 'c"),
    ("a.gmt", "a b c\n", "line 1: .* 'a b c'"),
    ("a.gmt", "\tb\tg1\n", "line 1"),
    ("a.gmt", "a\tb\tg1\n\na\tb\tg2\n", "line 3: the set 'a'"),
    ("a.gmt", "\n", "a.gmt"),
    ("a.gmt", b"\xff\xfe\x00", "UTF-8"),
    ("a.csv", "a\tb\tg1\n", ".gmt or a .toml"),
]
BAD_TOML = [
    ("a.toml", 'a = ["b"]\nc = [1 2]\n', "line 2"),
    ("a.toml", '[a]\nb = ["c"]\n', "'a'"),
    ("a.toml", "a = [1, 2]\n", "'a'"),
    ("a.toml", "a = []\n", "'a'"),
]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    BAD_GMT + [pytest.param(*bad, marks=NEEDS_TOML) for bad in BAD_TOML],
)
def test_a_bad_file_is_refused(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        read_gene_sets(tmp_path / name)


def test_a_missing_file_and_toml_on_an_older_python_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        read_gene_sets(tmp_path / "none.gmt")
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    with pytest.raises(ValueError, match=r"3.11 or later; use a .gmt file"):
        read_gene_sets(write(tmp_path / "a.toml", 'a = ["b"]'))


@pytest.mark.parametrize("ties", [False, True])
def test_z_equals_that_of_the_rank_sum_test(ties: bool) -> None:
    rng = np.random.default_rng(0)
    change = rng.normal(size=50)
    if ties:
        change = np.round(change)
    sets = {f"s{n}": tuple(rng.choice(GENES, n, replace=False)) for n in (1, 5, 20, 49)}
    scores = {score.name: score for score in score_sets(change, find_members(sets, GENES), [*sets])}
    for name, members in sets.items():
        inside = np.isin(GENES, members)
        size = np.abs(change)
        test = mannwhitneyu(size[inside], size[~inside], use_continuity=False, method="asymptotic")
        assert 2 * norm.sf(abs(scores[name].z)) == pytest.approx(test.pvalue, rel=1e-9)
        assert scores[name].inside == pytest.approx(size[inside].mean())
        assert scores[name].outside == pytest.approx(size[~inside].mean())
        assert scores[name].num_genes == len(members)


def test_the_set_that_changes_comes_first_and_sign_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    change = rng.normal(scale=0.1, size=50)
    change[:10] += np.where(np.arange(10) % 2, 2, -2)
    sets = {"still": tuple(GENES[20:40]), "moving": (*GENES[:10], "unknown")}
    scores = score_sets(change, find_members(sets, GENES), list(sets))
    assert [score.name for score in scores] == ["moving", "still"]
    assert scores[0].z > 4
    assert scores[0].num_genes == 10
    assert scores[1].z < 0


def test_sets_of_none_or_of_all_genes_have_no_score_and_equal_changes_none_to_show() -> None:
    sets = {"none": ("x",), "all": tuple(GENES), "some": ("g1", "g2")}
    scores = score_sets(np.ones(50), find_members(sets, GENES), list(sets))
    assert [(score.name, score.z) for score in scores] == [("some", 0.0)]
