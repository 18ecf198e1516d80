"""How the tests start JAX, and the fixtures they share."""

import gc
import os
from collections.abc import Iterator

import pytest

from fairhand.workflow._start import _cache_folder, start_jax

# JAX's cache of compiled programs is not safe to share between processes that write it.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["FAIRHAND_CACHE_DIR"] = str(_cache_folder() / worker)

# Four devices that wait for each other on two busy cores may need longer than the 40 seconds after which XLA aborts Python.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_collective_call_terminate_timeout_seconds=600"
start_jax(devices=4)  # before JAX runs anything: sharding is tested on four devices of the host

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")  # see `relaxed_ranks`


@pytest.fixture(autouse=True, scope="module")
def forget_programs() -> Iterator[None]:
    """Every compiled program holds a dozen memory maps, and Linux allows 65,530 of them: beyond, JAX ends in a crash."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Iterator[jnp.dtype]:
    """Each precision in turn; the default dtype of arrays follows it."""
    with jax.enable_x64(request.param == "float64"):
        yield jnp.dtype(request.param)


@pytest.fixture
def relaxed_ranks() -> Iterator[None]:
    """For tests that run NumPyro, whose distributions promote ranks."""
    with jax.numpy_rank_promotion("allow"):
        yield
