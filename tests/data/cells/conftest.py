"""What tests of cells go through in both ways: in memory or on disk, dense or sparse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse


@pytest.fixture(params=[False, True])
def backed(request: pytest.FixtureRequest) -> bool:
    """Whether cells stay on disk."""
    return bool(request.param)


@pytest.fixture(params=[np.asarray, sparse.csr_matrix])
def form(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Make a matrix dense or sparse."""
    return request.param
