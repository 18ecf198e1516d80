r"""Variational inference on a flat density: NumPyro's guides and SVI, stopped on a plateau, judged by k-hat.

The guide lives in coordinates :math:`z = c + R w` that start at the mode with its covariance, so one learning rate suits all
models. Its draws come with weights :math:`p(z)/q(z)`; where k-hat says that they can be trusted, draws are resampled by them.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.infer import SVI, Trace_ELBO, autoguide, init_to_value
from numpyro.optim import optax_to_numpyro

from ..models._check import require
from ._density import Arguments, Density
from ._importance import ENOUGH, GOOD_K, k_hat, log_density_at, resampled
from ._loop import Looped, loop

Guide = Literal["auto", "normal", "multivariate", "lowrank"]
WINDOW, LEAST = 250, 1000  # steps a chunk, and before a plateau is looked for
MEMORY = 100  # steps over which parameters are averaged
DENSE = 200  # numbers up to which "auto" takes a full covariance
CANDIDATES = 4  # draws of the guide for each draw that is kept
HALVING, FLOOR = 1000, 0.02  # steps after which the rate has halved, and its least share of the first

GUIDES = {
    "normal": autoguide.AutoDiagonalNormal,
    "multivariate": autoguide.AutoMultivariateNormal,
    "lowrank": autoguide.AutoLowRankMultivariateNormal,
}
_PROGRAMS: dict[Any, Any] = {}


@dataclass(frozen=True)
class Variational:
    """How the search went, and how good its answer is.

    Attributes:
        k_hat: of the guide's draws against the density; above 0.7 they miss part of it.
        elbo: `[steps]`, noisy evidence lower bound, up to the density's constant.
        stopped: when and why it stopped, in words.
        guide: which family it was in the end.
        resampled: whether draws were set right by importance resampling.
        problems: sentences with advice.
    """

    k_hat: float
    elbo: np.ndarray = field(repr=False)
    stopped: str
    guide: str
    resampled: bool
    problems: tuple[str, ...]


def _program(density: Density, guide: str, size: int, rate: float, particles: int, spread: float):
    """Start, one chunk, and the guide's law, compiled once per density and setting."""
    key = (id(density), guide, size, rate, particles, spread)
    if key not in _PROGRAMS:

        def unknown(*_):
            return jnp.asarray(numpyro.sample("w", dist.ImproperUniform(constraints.real_vector, (), (size,))))

        def model(centre, root, args):
            w = unknown()
            with handlers.block():  # the density has sites of its own
                minus = density.potential(centre + (root * w if root.ndim == 1 else root @ w), args)
            numpyro.factor("density", -minus)

        zero = init_to_value(values={"w": jnp.zeros(size, density.start.dtype)})
        family = GUIDES[guide](unknown, init_loc_fn=zero, init_scale=spread)
        schedule = optax.exponential_decay(rate, HALVING, 0.5, end_value=rate * FLOOR)
        adam, loss = optax_to_numpyro(optax.adam(schedule)), Trace_ELBO(num_particles=particles)
        svi, bare = SVI(model, family, adam, loss), SVI(unknown, family, adam, loss)

        def begin(key):
            state = bare.init(
                key
            )  # the guide's parameters do not depend on the density, which is slow out of a program
            svi.constrain_fn = bare.constrain_fn
            return state, svi.get_params(state)

        def chunk(state, *inputs):
            def one(carry, _):
                state, mean = carry
                state, loss = svi.stable_update(state, *inputs)
                mean = jax.tree.map(lambda m, x: m + (x - m) / MEMORY, mean, svi.get_params(state))
                return (state, mean), -loss

            state, elbo = jax.lax.scan(one, state, None, length=WINDOW)
            return state, {"elbo": elbo}

        def law(params):
            found = family.get_posterior(params)
            return found if found.event_dim else found.to_event(1)

        def sample(params, key, num):
            q = law(params)
            w = q.sample(key, (num,))
            return w, q.log_prob(w)

        _PROGRAMS[key] = (begin, jax.jit(chunk), jax.jit(sample, static_argnums=2), density)
    return _PROGRAMS[key][:3]


def run_svi(
    density: Density,
    args: Arguments,
    start: Any,
    *,
    key: jax.Array,
    guide: Guide = "auto",
    draws: int = 1000,
    rate: float = 0.02,
    max_steps: int = 20_000,
    particles: int = 8,
    **looping: Any,
) -> tuple[Looped, dict[str, np.ndarray], Variational]:
    """Fit a guide, draw from it, and say how good it is; to be called in the precision of the density.

    Args:
        density: minus log posterior over one vector. `args`: its data.
        start: a `Mode`, whose covariance sets the scale, or a point `[size]`.
        key: all randomness.
        guide: `"normal"` has independent coordinates, `"multivariate"` a full covariance, `"lowrank"` few common factors;
            `"auto"` takes `"multivariate"` up to 200 numbers, else `"lowrank"`.
        draws: kept. `rate`: of Adam, in posterior standard deviations where the scale is known; it halves every 1,000 steps.
        max_steps: at most; it stops sooner when the ELBO of the last quarter of the run is no better than of the one before.
        particles: draws a step.
        **looping: progress, checkpoint, resume, fingerprint, for the loop.

    Returns:
        The loop; `{"z": [1, draws, size]}`, empty if interrupted before the first chunk; and how it went.

    Raises:
        ValueError: a bad argument, by name.
    """
    size = density.start.size
    require(guide in ("auto", *GUIDES), f"`guide` must be one of {['auto', *GUIDES]}, got {guide!r}.")
    for name, value in {"draws": draws, "max_steps": max_steps, "particles": particles}.items():
        require(value >= 1, f"`{name}` must be at least 1, got {value}.")
    require(rate > 0, f"`rate` must be positive, got {rate}.")
    guide = ("multivariate" if size <= DENSE else "lowrank") if guide == "auto" else guide
    dtype = density.start.dtype
    centre, root, spread = _coordinates(start, guide)
    begin, chunk, sample = _program(density, guide, size, float(rate), particles, spread)
    inputs = (jnp.asarray(centre, dtype), jnp.asarray(root, dtype), args)
    state = begin(jax.random.fold_in(key, 0))
    looped = loop(
        lambda state, _: chunk(state, *inputs), state, total=-(-max_steps // WINDOW) * WINDOW, chunk=WINDOW,
        label="fit guide", until=lambda output: _plateau(output["elbo"]), **looping,
    )  # fmt: skip
    elbo = np.asarray(looped.output.get("elbo", np.zeros(0)), float)
    if not len(elbo):
        return looped, {}, Variational(np.inf, elbo, looped.status, guide, False, (looped.status,))
    params = looped.state[1]
    w, log_q = sample(params, jax.random.fold_in(key, 1), max(CANDIDATES * draws, ENOUGH))
    w, log_q = np.asarray(w, float), np.asarray(log_q, float)
    z = centre + (w * root if np.ndim(root) == 1 else w @ np.asarray(root).T)
    weights = log_density_at(density, args, z) - log_q
    found = k_hat(weights)
    good = bool(found < GOOD_K and np.isfinite(weights).any())
    if good and np.isfinite(found):
        seed = int(np.asarray(jax.random.key_data(key)).ravel()[-1])
        kept = z[
            resampled(np.where(np.isfinite(weights), weights, weights[np.isfinite(weights)].min() - 1e3), draws, seed)
        ]
    else:
        kept = z[:draws]
    problems = _problems(looped, elbo, found, guide)
    stopped = looped.stopped or looped.status or f"Stopped at `max_steps`, after {len(elbo)} steps."
    return looped, {"z": kept[None]}, Variational(found, elbo, stopped, guide, good, problems)


def _coordinates(start: Any, guide: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Centre, root `[size]` or `[size, size]`, and the guide's first standard deviation."""
    if not hasattr(start, "covariance"):
        centre = np.asarray(start, float)
        return centre, np.ones_like(centre), 0.1
    covariance = np.asarray(start.covariance, float)
    sd = np.sqrt(np.diag(covariance))
    return np.asarray(start.z, float), sd if guide == "normal" else np.linalg.cholesky(covariance), 1.0


def _plateau(elbo: np.ndarray) -> str:
    """A sentence once the last quarter of the run is no better than the quarter before, within two standard errors."""
    steps = len(elbo)
    if np.mean(~np.isfinite(elbo[-WINDOW:])) > 0.5:
        return f"Stopped after {steps} steps: the ELBO is not finite."
    if steps < LEAST:
        return ""
    width = max(WINDOW, steps // 4)
    late, before = (x[np.isfinite(x)] for x in (elbo[-width:], elbo[-2 * width : -width]))
    gain = late.mean() - before.mean()
    noise = np.sqrt(late.var() / len(late) + before.var() / max(len(before), 1))
    if not gain <= 2 * noise + 1e-3:
        return ""
    return (
        f"Stopped after {steps} steps: the ELBO rose by {max(gain, 0):.2g} (noise {noise:.2g}) from one quarter of the run to "
        "the next."
    )


def _problems(looped: Looped, elbo: np.ndarray, found: float, guide: str) -> tuple[str, ...]:
    problems = []
    if not np.isfinite(elbo[-1]):
        problems.append("The ELBO is not finite: lower `rate`, or use `method='nuts'`.")
    if not looped.stopped and not looped.interrupted:
        problems.append(f"The ELBO was still rising after {len(elbo)} steps: raise `max_steps`, or `rate`.")
    if not found < GOOD_K:
        wider = "" if guide == "multivariate" else "try `guide='multivariate'`, or "
        problems.append(
            f"k-hat of the variational fit is {found:.2f} (above {GOOD_K}): it misses part of the posterior; {wider}use "
            "`method='nuts'`."
        )
    return tuple(problems)
