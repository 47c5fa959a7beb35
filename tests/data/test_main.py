"""`python -m mixvae.data`: its commands, what it refuses, and with which exit status."""

import subprocess
import sys

import numpy as np
import pytest

from mixvae.data.__main__ import COMMANDS, main

NEURONS = {"barat": 92, "buchanan": 79, "mitt": 104, "stella": 49, "superchris": 46}


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"]])
def test_alone_it_lists_its_commands(capsys, arguments):
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {command} " in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_lists_its_keys(capsys, command):
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: python -m mixvae.data {command} key=value ...")
    assert "out=..." in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulate-rat"], "unknown command 'simulate-rat'; did you mean 'simulate-rats'?"),
        (["fly"], "unknown command 'fly'; choose one of "),
        (["simulate-rats"], "out is missing; write out=..."),
        (["simulate-rats", "out=x", "sed=1"], "unknown key 'sed'; did you mean 'seed'?"),
        (["simulate-rats", "out=x", "seed=one"], "seed must be a whole number, got 'one'"),
    ],
)
def test_a_wrong_command_line_is_refused(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {message}")
    assert captured.err.count("\n") == 1
    assert not captured.out
    assert not list(tmp_path.iterdir())


def test_null_leaves_a_key_at_its_default(tmp_path):
    out = tmp_path / "rats"
    assert main(["simulate-rats", f"out={out}", "num_trials=null", "num_bins=1"]) == 0
    assert np.load(out / "Superchris" / "superchris_trial_info.npy").shape == (245, 4)


def test_it_runs_as_a_module(tmp_path):
    command = [sys.executable, "-m", "mixvae.data"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert "simulate-rats" in done.stdout
    assert not done.stderr
