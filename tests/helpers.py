"""What several tests share."""

from typing import Any

import numpy as np

# How closely two ways to the same number agree, by precision.
RTOL = {"float32": 2e-5, "float64": 1e-10}
ATOL = {"float32": 2e-6, "float64": 1e-12}


def assert_close(actual: Any, expected: Any, loosen: float = 1.0) -> None:
    """Equal up to the precision of `actual`, a floating-point array; `loosen` where a claim needs it."""
    actual = np.asarray(actual)
    rtol, atol = (loosen * table[actual.dtype.name] for table in (RTOL, ATOL))
    np.testing.assert_allclose(actual, np.asarray(expected), rtol=rtol, atol=atol)
