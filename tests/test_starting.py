from __future__ import annotations

import subprocess
import sys

import pytest

# In a process of its own: this one has imported everything.
CODE = """
import gc, sys
from mixvae.starting import quick_imports
with quick_imports():
    import mixvae.runs.jobs
    assert not gc.isenabled()
slow = {"sklearn", "pandas", "wandb"} & set(sys.modules)
assert not slow, slow
assert gc.isenabled() and gc.get_freeze_count() > 0
"""


@pytest.mark.slow
def test_a_run_starts_without_what_few_runs_need() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True)
