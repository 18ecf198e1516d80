"""NUTS on the host loop: NumPyro's kernel, chains in one program, started at a jittered mode with its metric."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.hmc import hmc

from ._density import Arguments, Density
from ._devices import place
from ._loop import Looped, chunk_size, loop
from ._mode import Mode

_PROGRAMS: dict[Any, Any] = {}


def _program(density: Density, warmup: int, target: float, size: int, dense: bool):
    """Initialisation and one chunk, compiled once per density and setting."""
    key = (id(density), warmup, target, size, dense)
    if key not in _PROGRAMS:
        init, step = hmc(potential_fn_gen=lambda *args: lambda z: density.potential(z, args), algo="NUTS")

        def begin(z, metric, key, args):
            one = lambda z, k: init(
                z, warmup, step_size=0.5, inverse_mass_matrix=metric, dense_mass=dense, target_accept_prob=target,
                rng_key=k, model_args=args,
            )  # fmt: skip
            return jax.vmap(one)(z, key)

        def chunk(state, args):
            def one(state, _):
                state = jax.vmap(step, (0, None))(state, args)
                out = {
                    "z": state.z,
                    "diverging": state.diverging,
                    "energy": state.energy,
                    "acceptance_rate": state.accept_prob,
                    "n_steps": state.num_steps,
                    "step_size": state.adapt_state.step_size,
                }
                return state, out

            return jax.lax.scan(one, state, None, length=size)

        _PROGRAMS[key] = (jax.jit(begin), jax.jit(chunk), density)
    return _PROGRAMS[key][:2]


def run_nuts(
    density: Density,
    args: Arguments,
    mode: Mode,
    *,
    key: jax.Array,
    chains: int,
    warmup: int,
    draws: int,
    target: float,
    sharding: Any,
    **looping: Any,
) -> tuple[Looped, dict[str, np.ndarray]]:
    """Sample; returns the loop and, per kept draw, arrays `[chains, draws, ...]`.

    The covariance of `mode` is the metric to begin with; one of variances alone stays diagonal.
    """
    total = warmup + draws
    size = chunk_size(total, 100)
    begin, chunk = _program(density, warmup, target, size, mode.covariance.ndim == 2)
    dtype = density.start.dtype
    seed = int(np.asarray(jax.random.key_data(key)).ravel()[-1])
    start = jnp.asarray(mode.sample(chains, seed, widen=1.5), dtype)
    keys = jax.random.split(jax.random.fold_in(key, 1), chains)
    start, keys = place((start, keys), sharding)
    state = begin(start, jnp.asarray(mode.covariance, dtype), keys, args)
    looped = loop(lambda state, _: chunk(state, args), state, total=total, chunk=size, label="sample", **looping)
    kept = {name: np.swapaxes(x[warmup:], 0, 1) for name, x in looped.output.items()}
    return looped, kept


def chains_in_words(chains: int, sharding: Any) -> str:
    """How the chains run, and why so."""
    devices = 1 if sharding is None else sharding.mesh.size
    kind = jax.devices()[0].platform
    if devices > 1:
        return f"NUTS, {chains} chains split over {devices} {kind} devices, each {chains // devices} in one program."
    there = len(jax.devices())
    if chains == 1:
        return f"NUTS, one chain on one {kind} device."
    more = "" if there == 1 else f" ({there} devices are there, and {chains} chains do not split over them: `devices=`)"
    return f"NUTS, {chains} chains side by side in one program on one {kind} device{more}."
