"""One model fitted to many simulated data sets at once: parameters, data, mode and draws in one program, a lane each.

Data never leave the program: a model draws them in the form its `numpyro_model` takes, by
`simulate(sites, arguments, key=...)`. Where `arguments` of real data are condensed (equal rankings counted, say), a model has
`simulation_arguments(data)` too, a row for each observation. What is kept of each data set is its truth, its ranks and a few
moments.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.handlers import block, seed, substitute, trace
from numpyro.infer.hmc import hmc
from numpyro.infer.util import compute_log_probs

from ..mechanisms._sharding import over_devices
from ..models.hierarchy import AbstractHierarchy
from ._density import Arguments, Density, density
from ._devices import Devices, leading_axis
from ._loop import loop
from ._newton import derivatives_of, newton
from ._precision import Precision, cast, precision_scope

LIKELIHOOD = "log likelihood"
LEVELS = (0.05, 0.25, 0.75, 0.95)
BUDGET = 2**21  # numbers in the data of all lanes of a batch, about
MOST = 200  # lanes of a batch
NEAR = 1e-4  # half the squared distance from the mode, in standard deviations, that counts as there
JITTER = 1.5  # standard deviations between the mode and the start of a chain, as in `fit`

Sites = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How each data set is fitted; a program is compiled for it."""

    method: str
    draws: int
    warmup: int
    thin: int
    target_accept: float

    def __post_init__(self):
        if self.method not in ("nuts", "map"):
            raise ValueError(f"`method` must be 'nuts' or 'map', got {self.method!r}.")
        for name, least in (("draws", 10), ("warmup", 0), ("thin", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"`{name}` must be at least {least}, got {getattr(self, name)}.")
        if not 0 < self.target_accept < 1:
            raise ValueError(f"`target_accept` must be between 0 and 1, got {self.target_accept}.")


@dataclass(frozen=True)
class Refits:
    """What came of it, by data set and scalar.

    Attributes:
        names: of the scalars; the last is `LIKELIHOOD`, the log-probability of the data.
        truth: `[fits, scalars]`, what the data were simulated with.
        rank: `[fits, scalars]`, how many draws are below it; equal ones count by lot.
        mean, sd: `[fits, scalars]`, of the draws. `quantiles`: `[fits, levels, scalars]`, at `LEVELS`.
        echo: `[fits, scalars]`, correlation of neighbouring draws.
        diverging: `[fits]`, transitions that diverged. `settled`: `[fits]`, whether the mode was reached.
        seconds: first batch (compilation included) and the rest.
        status: empty, or that it was interrupted.
    """

    names: tuple[str, ...]
    truth: np.ndarray
    rank: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    quantiles: np.ndarray
    echo: np.ndarray
    diverging: np.ndarray
    settled: np.ndarray
    seconds: tuple[float, float]
    status: str


def refit(
    model: Any,
    data: Any,
    simulator: Any,
    truths: Mapping[str, np.ndarray],
    *,
    fits: int,
    key: jax.Array,
    settings: Settings,
    precision: Precision,
    batch_size: int | None,
    devices: Devices,
    label: str,
    fingerprint: list[Any],
    **looping: Any,
) -> Refits:
    """Simulate and fit `fits` data sets of the design of `data`.

    Args:
        model: what is fitted. `data`: whose design all data sets share.
        simulator: the model that parameters and data are drawn from.
        truths: sampled sites of the simulator that are given instead of drawn, `[fits, *site]`.
        fits: how many. `key`: all randomness; data set i takes `fold_in(key, i)`, whatever the batches.
        settings: how each is fitted.
        precision: inside this call.
        batch_size: data sets side by side; None chooses by their size.
        devices: shard them over so many.
        label: what the progress bar says. `fingerprint`, `looping`: see `loop`.
    """
    if fits < 2:
        raise ValueError(f"`fits` must be at least 2, got {fits}.")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
    with precision_scope(precision) as dtype, jax.numpy_rank_promotion("allow"):
        arguments = getattr(model, "simulation_arguments", model.arguments)(data)
        args = cast(jax.tree.map(jnp.asarray, tuple(arguments)), dtype)
        size = sum(x.size for x in jax.tree.leaves(args))
        batch = min(fits, batch_size or min(MOST, max(8, BUDGET // max(1, size))))
        batch = -(-fits // -(-fits // batch))  # as even as can be
        sharding = leading_axis(devices, batch)
        target = density(model, _start(model, data, args), dtype)
        given = {name: cast(np.asarray(x), dtype) for name, x in truths.items()}
        sites = _refuse_what_cannot_be_simulated(simulator, given, args)
        names = (*model.scalars({name: np.zeros((1, *x.shape)) for name, x in sites.items()}, data), LIKELIHOOD)
        program = _program(model, simulator, target, settings, sharding)

        def advance(state: Any, start: int) -> tuple[Any, dict[str, np.ndarray]]:
            at = np.arange(start, start + batch) % fits  # what is left over of the last batch is dropped
            keys = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.asarray(at, jnp.uint32))
            found = jax.device_get(program(keys, {name: x[at] for name, x in given.items()}, args))
            return state, _summary(model, data, found, at)

        marks = [*fingerprint, fits, batch, jax.random.key_data(key).tolist(), repr(settings), precision, data.sha256]
        looped = loop(advance, (), total=fits, chunk=batch, label=label, fingerprint=marks, **looping)
    if not looped.output:
        raise KeyboardInterrupt(
            "Interrupted before a batch of data sets was done: nothing to return; lower `batch_size`."
        )
    return Refits(names, **looped.output, seconds=(looped.first_seconds, looped.rest_seconds), status=looped.status)


def _start(model: Any, data: Any, args: Arguments) -> dict[str, np.ndarray]:
    """Where the search for the mode begins; of a hierarchy also everybody's raw taste, at 0."""
    start = dict(model.start(data))
    if isinstance(model, AbstractHierarchy):
        with block():
            tastes = jax.eval_shape(lambda key: seed(model.shared, key)(*args), jax.random.key(0))
        start["raw"] = np.zeros((model.people(*args), tastes.root.shape[0]))
    return start


def parameters(model: Any, given: Mapping[str, Any], args: Arguments, *, key: jax.Array) -> Sites:
    """All sites of a model but the observed ones, those not `given` drawn from their priors."""
    return {name: site["value"] for name, site in _unobserved(model, given, args, key).items()}


def _unobserved(model: Any, given: Mapping[str, Any], args: Arguments, key: jax.Array) -> Sites:
    with block():
        run = trace(seed(substitute(model.numpyro_model, data=dict(given)), key)).get_trace(*args)
    kept = lambda site: site["type"] == "deterministic" or (site["type"] == "sample" and not site["is_observed"])
    return {name: site for name, site in run.items() if kept(site)}


def log_likelihood(model: Any, sites: Mapping[str, Any], args: Arguments) -> jax.Array:
    """Log-probability of the data, `sites` those that are sampled."""
    terms, run = compute_log_probs(model.numpyro_model, args, {}, dict(sites))
    return jnp.asarray(sum(x for name, x in terms.items() if run[name]["is_observed"]))


def _refuse_what_cannot_be_simulated(model: Any, given: Mapping[str, Any], args: Arguments) -> Sites:
    name = type(model).__name__
    if not hasattr(model, "simulate"):
        raise ValueError(f"`model` {name} cannot simulate data: it needs `simulate(sites, arguments, key=...)`.")
    first = {site: x[0] for site, x in given.items()}
    shapes = {}

    def traced(key):
        run = _unobserved(model, first, args, key)
        shapes.update({site: x["fn"].shape() for site, x in run.items() if x["type"] == "sample"})
        return {site: x["value"] for site, x in run.items()}

    try:
        sites = jax.eval_shape(traced, jax.random.key(0))
    except NotImplementedError as error:
        raise ValueError(
            f"`model` {name} has a flat prior, from which nothing can be drawn: give a proper one, such as `prior_scale=2.5`."
        ) from error
    for site, x in first.items():
        if np.shape(x) != shapes[site]:
            raise ValueError(f"`truth[{site!r}]` must have shape {shapes[site]}, got {np.shape(x)}.")
    return sites


@functools.lru_cache(maxsize=32)
def _program(model: Any, simulator: Any, target: Density, settings: Settings, sharding: Any):
    """All lanes of a batch, compiled once per model, shape and setting."""
    lane = functools.partial(_lane, model, simulator, target, settings)
    lanes = lambda batched, args: jax.vmap(lane, (0, 0, None))(batched[0], batched[1], args)
    return jax.jit(lambda keys, given, args: over_devices(lanes, (keys, given), args, sharding))


def _lane(model: Any, simulator: Any, target: Density, settings: Settings, key, given, args) -> dict[str, Any]:
    """One data set: its truth, its draws, and how the sampler fared."""
    drawn, observed, chain = jax.random.split(key, 3)
    truth = parameters(simulator, given, args, key=drawn)
    args = simulator.simulate(truth, args, key=observed)
    found = newton(derivatives_of(target.potential), target.start, args, steps=100)
    root = _root(found.hessian)
    sample = _by_nuts if settings.method == "nuts" else _by_laplace
    z, diverging = sample(target, settings, found.z, root, args, chain)
    sites = jax.vmap(target._constrain, (0, None))(z, args)
    sampled = lambda sites: {name: sites[name] for name in target.unravel(target.start)}
    return {
        "truth": truth,
        "truth likelihood": log_likelihood(model, sampled(truth), args),
        "sites": sites,
        "likelihood": jax.lax.map(lambda s: log_likelihood(model, s, args), sampled(sites)),
        "diverging": diverging,
        "settled": jnp.sum((found.gradient @ root) ** 2) / 2 < NEAR,
    }


def _root(hessian: jax.Array) -> jax.Array:
    """L with L Lᵀ the inverse of the curvature, taken positive; flat directions are taken as wide as rounding tells."""
    values, vectors = jnp.linalg.eigh(jnp.where(jnp.isfinite(hessian), hessian, 0.0))
    values = jnp.abs(values)
    least = jnp.sqrt(jnp.finfo(hessian.dtype).eps) * jnp.max(values)
    return vectors / jnp.sqrt(jnp.where(values > least, values, jnp.where(least > 0, least, 1.0)))


def _by_nuts(target: Density, settings: Settings, mode, root, args, key) -> tuple[jax.Array, jax.Array]:
    """A chain in coordinates in which the Laplace approximation is standard normal, so that its metric is the identity."""
    jitter, own = jax.random.split(key)
    init, step = hmc(potential_fn_gen=lambda: lambda w: target.potential(mode + root @ w, args), algo="NUTS")
    skipped = -(-settings.warmup // settings.thin)  # rounds of `thin` steps, so that one loop does warm-up and draws
    start = JITTER * jax.random.normal(jitter, mode.shape, mode.dtype)
    state = init(
        start, skipped * settings.thin, step_size=0.5, inverse_mass_matrix=jnp.ones_like(mode),
        target_accept_prob=settings.target_accept, rng_key=own,
    )  # fmt: skip

    def once(_, carry):
        state, diverging = carry
        state = step(state, ())
        return state, diverging + state.diverging

    def rounds(state, _):
        state, diverging = jax.lax.fori_loop(0, settings.thin, once, (state, 0))
        return state, (state.z, diverging)

    _, (w, diverging) = jax.lax.scan(rounds, state, None, length=skipped + settings.draws)
    return mode + w[skipped:] @ root.T, diverging[skipped:].sum()


def _by_laplace(target: Density, settings: Settings, mode, root, args, key) -> tuple[jax.Array, jax.Array]:
    del target, args
    w = jax.random.normal(key, (settings.draws, *mode.shape), mode.dtype)
    return mode + w @ root.T, jnp.asarray(0)


def _summary(model: Any, data: Any, found: dict[str, Any], at: np.ndarray) -> dict[str, np.ndarray]:
    """Of each data set, what `Refits` keeps."""
    table = lambda scalars, likelihood: np.stack([*map(np.asarray, scalars.values()), likelihood], -1).astype(float)
    truth = table(model.scalars(found["truth"], data), found["truth likelihood"])
    draws = table(model.scalars(found["sites"], data), found["likelihood"])  # [fits, draws, scalars]
    below, ties = (draws < truth[:, None]).sum(1), (draws == truth[:, None]).sum(1)
    lot = np.stack([np.random.default_rng(int(i)).random(truth.shape[1]) for i in at])
    mean, sd = draws.mean(1), draws.std(1)
    away = draws - mean[:, None]
    echo = (away[:, 1:] * away[:, :-1]).sum(1) / np.maximum((away**2).sum(1), 1e-300)
    # Weibull's positions: a new draw of the same law lies below the quantile with exactly that probability.
    quantiles = np.moveaxis(np.quantile(draws, LEVELS, axis=1, method="weibull"), 0, 1)
    return {
        "truth": truth, "rank": below + np.floor(lot * (ties + 1)).astype(int), "mean": mean, "sd": sd,
        "quantiles": quantiles, "echo": echo, "diverging": found["diverging"], "settled": found["settled"],
    }  # fmt: skip
