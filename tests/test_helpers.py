"""The fixtures and helpers themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import assert_close


def test_dtype_is_the_default_of_new_arrays(dtype, key):
    assert jnp.ones(2).dtype == dtype
    assert jax.random.normal(key).dtype == dtype


def test_close_means_closer_in_float64(dtype):
    third = jnp.ones(3, dtype) / 3
    assert_close(third, np.full(3, 1 / 3))
    with pytest.raises(AssertionError):
        assert_close(third, np.full(3, 1 / 3) + (1e-4 if dtype == jnp.float32 else 1e-8))


def test_ranks_are_not_promoted_silently():
    with pytest.raises(ValueError, match="rank"):
        _ = jnp.ones((2, 3)) + jnp.ones(3)


def test_annotations_are_checked():
    from fairhand.workflow._start import start_jax

    with pytest.raises(TypeError):
        start_jax(devices="four")  # pyright: ignore[reportArgumentType]
