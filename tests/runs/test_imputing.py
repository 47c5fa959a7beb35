"""What is missing is filled in by the run's model in the files' unit; what is there stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mixvae
from mixvae import impute as program
from mixvae.cli.run_requests import ImputeOptions
from mixvae.data.modalities.base import MultimodalState
from mixvae.impute import impute
from mixvae.runs.imputing import open_imputer

NEW = 30
SHAPES = {"a": (6,), "b": (4,), "c": (3,)}


def views(num: int, seed: int) -> dict[str, np.ndarray]:
    """Three linear views of the same three numbers, each in a unit of its own."""
    weights = np.random.default_rng(0)
    latent = np.random.default_rng(seed).normal(size=(num, 3))
    return {
        name: latent @ weights.normal(size=(3, *shape)) * 10**m + 5 * 10**m
        for m, (name, shape) in enumerate(SHAPES.items())
    }


@pytest.fixture(scope="module", params=["mmvm", "poe"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three views that were standardised."""
    from mixvae.train import main

    folder = tmp_path_factory.mktemp("views")
    for name, array in views(300, 1).items():
        np.save(folder / f"{name}.npy", array)
    files = ", ".join(f"{name}: '{folder}/{name}.npy'" for name in SHAPES)
    settings = [
        *("model.latent_dim=3", "model.beta=0.3", "trainer.max_epochs=40"),
        *("model.optimizer.lr=0.01", "trainer.check_val_every_n_epoch=10"),
        *(
            "data.standardise=true",
            "data.batch_size=50",
            "logger=csv",
            "num_threads=1",
            "report=false",
        ),
        *("likelihood=squared_error", "networks=modality_mlp_small", "callbacks.figures=null"),
    ]
    own = [f"data.modalities={{{files}}}", f"model={request.param}", f"run_dir='{folder}/run'"]
    assert main(["+experiment=multimodal_mmvm", *settings, *own]) == 0
    return folder / "run"


@pytest.fixture
def new() -> dict[str, np.ndarray]:
    """Other events: all of a, half of b, none of c."""
    arrays = views(NEW, 2)
    arrays["b"][::2] = np.nan
    del arrays["c"]
    return arrays


def literal(run: Path, arrays: dict[str, np.ndarray], event: int) -> dict[str, np.ndarray]:
    """What one event's modalities say of every one, step by step."""
    imputer = open_imputer(ImputeOptions(run=run))
    model: Any = imputer.model
    scales = imputer.state.scales
    x, present = [], []
    for name, shape in SHAPES.items():
        sample = arrays.get(name, np.full((NEW, *shape), np.nan))[event]
        scaled = (sample - scales[name].mean) / scales[name].deviation
        present.append(np.isfinite(sample).all())
        x.append(torch.tensor(scaled[None], dtype=torch.float32).nan_to_num())
    with torch.inference_mode():
        posterior = model.infer(x, torch.tensor([present]))
        if posterior.joint_mean is None:
            sources = [posterior.mean[m] for m in range(3) if present[m]]
        else:
            sources = [posterior.joint_mean]
        found = {}
        for m, name in enumerate(SHAPES):
            decoded = np.mean([model.decode(code, m)[0].numpy() for code in sources], axis=0)
            found[name] = decoded * scales[name].deviation + scales[name].mean
    return found


def test_what_is_missing_is_what_the_rest_decodes_to(trained: Path, new: dict) -> None:
    result = impute(new, trained, batch_size=7)
    expected_missing = {"a": np.zeros(NEW, bool), "b": np.arange(NEW) % 2 == 0}
    for name, shape in SHAPES.items():
        missing = expected_missing.get(name, np.ones(NEW, bool))
        filled = result[f"{name}/filled"]
        assert filled.shape == (NEW, *shape)
        np.testing.assert_array_equal(result[f"{name}/missing"], missing)
        if name in new:
            np.testing.assert_array_equal(filled[~missing], new[name][~missing])
        np.testing.assert_array_equal(np.isnan(result[f"{name}/mean"]).all(axis=1), missing)
        np.testing.assert_array_equal(np.isfinite(result[f"{name}/logvar"]).all(axis=1), ~missing)
    for event in (0, 1, 17):
        for name, value in literal(trained, new, event).items():
            if result[f"{name}/missing"][event]:
                np.testing.assert_allclose(result[f"{name}/filled"][event], value, rtol=1e-4)
    assert ("joint/mean" in result) == ("poe" in (trained / "config.yaml").read_text())


def test_it_knows_more_than_the_training_mean(trained: Path, new: dict) -> None:
    truth, result = views(NEW, 2), impute(new, trained)
    for name in "bc":
        missing = result[f"{name}/missing"]
        error = np.square(result[f"{name}/filled"] - truth[name])[missing].mean()
        assert error < 0.9 * np.square(truth[name] - truth[name].mean(axis=0))[missing].mean()


def test_single_missing_values_are_filled_and_given_ones_kept(trained: Path, new: dict) -> None:
    gappy = new["a"].copy()
    gappy[3, 2] = gappy[4, :5] = np.nan
    filled = impute({**new, "a": gappy}, trained)["a/filled"]
    hole = np.isnan(gappy)
    assert filled.dtype == np.float64
    np.testing.assert_array_equal(filled[~hole], gappy[~hole])
    assert np.isfinite(filled).all()
    assert (filled[hole] != 0).all()


@pytest.mark.parametrize("kind", ["frame", "list", "int64", "float16", "tensor"])
def test_what_is_given_comes_back_in_its_type(trained: Path, kind: str) -> None:
    import pandas as pd

    whole = np.full((4, 6), 16777217)
    half = whole.astype(np.float64)
    half[1] = np.nan
    given: Any = {
        "frame": pd.DataFrame(half, index=list("pqrs"), columns=list("uvwxyz")),
        "list": half.tolist(),
        "int64": whole,
        "float16": np.ones((4, 6), np.float16),
        "tensor": torch.from_numpy(half),
    }[kind]
    other = (
        pd.DataFrame(np.ones((4, 4)), index=list("pqrs")) if kind == "frame" else np.ones((4, 4))
    )
    filled = impute({"a": given, "b": other}, trained)["a/filled"]
    assert type(filled) is type(given)
    if kind == "frame":
        assert list(filled.index) == list("pqrs")
        assert list(filled.columns) == list("uvwxyz")
    before, after = np.asarray(given), np.asarray(filled)
    assert after.dtype == before.dtype
    np.testing.assert_array_equal(after[[0, 2, 3]], before[[0, 2, 3]])
    assert np.isfinite(after).all()


def test_data_frames_with_other_row_names_are_refused(trained: Path) -> None:
    import pandas as pd

    frames = {
        name: pd.DataFrame(np.ones((2, size)), index=index)
        for name, size, index in (("a", 6, ["p", "q"]), ("b", 4, ["q", "p"]))
    }
    with pytest.raises(ValueError, match="different row names, or another order of them"):
        impute(frames, trained)


def test_an_event_that_misses_everything_stays_missing(
    trained: Path, new: dict, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = new["a"].copy(), new["b"].copy()
    a[2] = b[2] = np.nan
    result = impute({"a": a, "b": b}, trained)
    assert (
        "every modality is missing in 1 events: nothing is imputed there (row 2, counted"
        in caplog.text
    )
    for name in "abc":
        filled = np.isfinite(result[f"{name}/filled"]).all(axis=1)
        assert np.flatnonzero(~filled).tolist() == [2]


def test_one_source_alone(trained: Path, new: dict, caplog: pytest.LogCaptureFixture) -> None:
    alone = impute({"b": new["b"][1::2]}, mixvae.open_run(trained))
    result = impute({"a": new["a"], "b": new["b"]}, trained, source="b")
    assert "source=b is missing in 15 events: nothing is imputed" in caplog.text
    np.testing.assert_allclose(result["c/filled"][1::2], alone["c/filled"], rtol=1e-5)
    assert np.isnan(result["c/filled"][::2]).all()
    np.testing.assert_array_equal(result["a/filled"], new["a"])


def test_files_give_what_arrays_give(
    trained: Path,
    new: dict,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", new["a"])
    np.savetxt("b.csv", new["b"], delimiter=",")
    line = [f"run={trained}", "data.modalities={a: a.npy, b: b.csv}", "out=out.npz"]
    assert program.main(line) == 0
    assert "out.npz: b 15, c 30" in capsys.readouterr().out
    expected = impute(new, trained)
    with np.load("out.npz") as found:
        assert set(found) == set(expected)
        for name in found:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
    before = Path("out.npz").read_bytes()
    assert program.main(line) == 1
    assert "out.npz exists" in capsys.readouterr().err
    assert Path("out.npz").read_bytes() == before
    assert program.main([*line, "overwrite=true", "checkpoint=last"]) == 0
    np.save("a.npy", np.full_like(new["a"], np.nan))
    assert program.main([line[0], "data.modalities={a: a.npy}", "out=lost.npz"]) == 0
    assert "lost.npz: nothing\n" in capsys.readouterr().out


def test_what_does_not_fit_is_refused(trained: Path, new: dict) -> None:
    a = new["a"]
    for arrays, message in (
        ({}, "give one or more of a, b, c"),
        ({"d": a}, "the run has no modality 'd'"),
        ({"a": a[:, :5]}, r"a has the shape \(30, 5\); for this run it must be \(N, 6\)"),
        ({"a": a[0]}, r"a has the shape \(6,\)"),
        ({"a": a, "b": new["b"][:7]}, "numbers of rows: a 30, b 7"),
        ({"a": np.where(a > a.mean(), np.inf, a)}, "a holds inf in row 0, counted from 0"),
        ({"a": [[1.0] * 6, [1.0]]}, "the samples of a are not of one shape"),
        ({"a": np.full(a.shape, "x")}, "a holds <U1; it must hold numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            impute(arrays, trained)
    with pytest.raises(ValueError, match="source is 'd'"):
        impute(new, trained, source="d")


def test_evaluation_goes_by_the_run_s_scales(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from mixvae.evaluate import main

    def tested(name: str, scaled: str, factor: float) -> float:
        files = {}
        for view, array in views(300, 1).items():
            files[view] = tmp_path / f"{name}_{view}.npy"
            np.save(files[view], array * factor if view in scaled else array)
        given = ", ".join(f"{view}: '{files[view]}'" for view in (scaled or "abc"))
        assert main([f"run={trained}", f"data.modalities={{{given}}}", f"name={name}"]) == 0
        path = trained / "evaluations" / name / "evaluation.json"
        return float(json.loads(path.read_text())["test/reconstruction"])

    summary = json.loads((trained / "summary.json").read_text())
    assert tested("same", "", 1.0) == pytest.approx(summary["test/reconstruction"], rel=1e-5)
    assert "still come from" not in caplog.text
    # In a unit of its own each file would look the same; the model was trained in the run's.
    assert tested("doubled", "c", 2.0) > 1.5 * summary["test/reconstruction"]
    assert "a, b still come from the files that the run was trained on" in caplog.text


def test_a_state_comes_back_from_plain_values(trained: Path) -> None:
    state = open_imputer(ImputeOptions(run=trained)).state
    again = MultimodalState.from_plain(state.as_plain())
    assert again.modalities == state.modalities
    again.check_scales(state.scales)
    assert {
        name: tuple(item.shape) for name, item in zip("abc", state.modalities, strict=True)
    } == SHAPES


@pytest.mark.parametrize("trained", ["mmvm"], indirect=True)
def test_columns_are_filled_one_by_one_in_their_types(trained: Path, new: dict) -> None:
    import pandas

    from mixvae import open_run

    lost = np.where(np.arange(NEW)[:, None] == 3, np.nan, new["a"])
    values = pandas.DataFrame(lost, columns=list("xxyyzz"))
    for frame in (values, values.astype("Float64"), values.astype(object)):
        filled = open_run(trained).impute({"a": frame, "b": new["b"]})["a/filled"]
        assert list(filled.columns) == list("xxyyzz")
        assert not filled.isna().any(axis=None)
        np.testing.assert_array_equal(filled.to_numpy(float)[4:], new["a"][4:])
    whole = values.round().astype("Int64")
    filled = impute({"a": whole, "b": new["b"]}, trained)["a/filled"]
    np.testing.assert_array_equal(filled.to_numpy(float)[4:], new["a"][4:].round())


@pytest.mark.parametrize("trained", ["mmvm"], indirect=True)
def test_tables_are_read_with_the_id_column_of_the_run(trained: Path, tmp_path: Path) -> None:
    values, config = np.arange(NEW * 6.0).reshape(NEW, 6), (trained / "config.yaml").read_text()
    own = tmp_path / "run"
    shutil.copytree(trained, own)
    (own / "config.yaml").write_text(config.replace("id_column: null", "id_column: ''"))
    values[:, 0] = np.arange(NEW)  # counts the rows, as ids do
    np.savetxt(tmp_path / "a.csv", values, delimiter=",", header="id,p,q,r,s,t", comments="")
    line = [f"data.modalities={{a: '{tmp_path}/a.csv'}}", f"out={tmp_path}/out.npz"]
    assert program.main([f"run={own}", *line]) == 0
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_array_equal(out["a/filled"], values)


@pytest.mark.parametrize("trained", ["mmvm"], indirect=True)
@pytest.mark.parametrize("kind", ["bfloat16", "sparse", "masked", "grad"])
def test_arrays_of_any_layout_are_imputed(trained: Path, new: dict, kind: str) -> None:
    from mixvae import open_run

    a = np.where(np.arange(NEW)[:, None] == 3, np.nan, new["a"])
    given: Any = torch.from_numpy(a)
    if kind == "bfloat16":
        given = given.bfloat16()
    elif kind == "sparse":
        given = given.to_sparse()
    elif kind == "masked":
        given = np.ma.masked_array(new["a"], np.isnan(a))
    else:
        given = given.requires_grad_()
    filled = open_run(trained).impute({"a": given, "b": new["b"]})["a/filled"]
    assert kind == "masked" or filled.dtype == given.dtype
    numbers = np.asarray(filled.float() if hasattr(filled, "float") else filled)
    np.testing.assert_allclose(numbers[4:], new["a"][4:], rtol=0.01)
    assert np.isfinite(numbers[5])[0]
    assert not np.allclose(numbers[3], new["a"][3], rtol=1e-9)


@pytest.mark.parametrize("trained", ["mmvm"], indirect=True)
@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (np.zeros((3, 6)), {}, r"the events are a ndarray; give a dict .*\{'a': array\}"),
        ({0: np.zeros((3, 6))}, {}, "the run has no modality '0'"),
        ({"a": "a.npy"}, {}, "samples of a are 'a.npy'; give an array, or name files"),
        ({"a": 3.0}, {}, "samples of a hold the single value 3.0"),
        ({"a": np.zeros((3, 6))}, {"batch_size": 1.5}, "must be a whole number of 1 or more"),
    ],
)
def test_what_is_no_dict_of_arrays_is_refused(trained, arrays, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        impute(arrays, trained, **options)


def test_images_in_another_unit_and_counts_that_are_none_are_refused(tmp_path: Path) -> None:
    from mixvae import open_run, train

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    data = {"image": images, "counts": random.poisson(5.0, (60, 4)) + np.arange(60)[:, None]}
    small = ["trainer.max_epochs=1", "num_threads=1", "model.beta=1.0", "callbacks.figures=null"]
    small += ["logger=csv", "report=false"]
    run = train(
        "multimodal_mmvm",
        *small,
        "data.kinds={counts: counts}",
        f"run_dir='{tmp_path}/run'",
        data=data,
    )
    with pytest.raises(ValueError, match=r"image has values up to .*multiply by 255"):
        run.impute({"image": images / 255.0})
    with pytest.raises(ValueError, match=r"'counts': a likelihood of counts needs whole numbers"):
        open_run(tmp_path / "run").impute({"counts": data["counts"] - 100.0})
    with pytest.raises(ValueError, match=r"'counts': a likelihood of counts needs whole numbers"):
        run.impute({"counts": data["counts"] + 0.5})
    gappy = np.where(np.arange(4) == 2, np.nan, data["counts"])
    filled = run.impute({"counts": gappy})["counts/filled"]
    np.testing.assert_array_equal(filled[:, [0, 1, 3]], data["counts"][:, [0, 1, 3]])
    assert np.isfinite(filled).all()
