"""Engines for models in which people differ: what all share is sampled, people are integrated out and drawn afterwards."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._density import Arguments, density
from ._drawn import Drawn, Settings
from ._importance import GOOD_K, k_hat, resampled
from ._marginal import COMPONENTS, Marginal, marginal, placed, settle
from ._mode import Mode
from ._points import Points
from ._whole import as_sites, draw, flat
from .diagnosis import DEEPEST

SETS, MOST = 4, 2**20  # further sets of points that set draws right, and points of all people in them
MORE = 4  # times as many points, where they were too few and their number was left to us
ENTRIES = 2**22  # people times draws held at once
ASKED = 128  # draws, where each point costs a likelihood
LOST = 0.05  # share of trajectories that diverged or grew as long as they may, from which a fit is of no use
TOLERATED = 0.2  # posterior standard deviations that the integral may be off by, without a word


def fit_people(model: Any, data: Any, args: Arguments, dtype: Any, settings: Settings) -> Drawn:
    """People integrated out; or all sampled at once, where points placed for people lose what they are to follow.

    Where a spread may be 0, points lie close together, and tell nothing of larger spreads: the mode is flat, or chains get lost.
    """
    start = model.start(data)
    settled = settle(marginal(model, start, dtype), args, flat(start), settings)
    if not settled[1].flat:
        drawn = fit_integrated(model, data, args, "marginal", dtype, settings, settled)
        if settings.looping["checkpoint"] is not None or not _lost(drawn.sampler):
            return drawn
    drawn = fit_everything(model, data, args, dtype, settings, settled)
    said = " People were not integrated out: a spread may be 0, and points placed for people could not follow."
    return dataclasses.replace(drawn, how=drawn.how + said)


def _lost(sampler: dict[str, np.ndarray]) -> bool:
    """Whether chains went nowhere: many trajectories diverged, or were as long as they may be."""
    return bool(sampler["diverging"].mean() > LOST or (sampler["n_steps"] >= DEEPEST).mean() > LOST)


def fit_integrated(
    model: Any,
    data: Any,
    args: Arguments,
    method: str,
    dtype: Any,
    settings: Settings,
    settled: tuple[Points, Mode] | None = None,
) -> Drawn:
    """Draw by `"map"`, `"svi"` or `"marginal"` from what all share; then everybody's taste.

    Draws are set right by importance weights: those of a likelihood at more points, placed around them, whose moments are
    left as they fall: an error that comes of matching them would be the same in every set. Where weights cannot do that and
    the number of points was left to us, it is done once more with more of them.
    """
    start = model.start(data)
    target = marginal(model, start, dtype)
    points, mode = settle(target, args, flat(start), settings) if settled is None else settled
    drawn, size, enough = _at(target, points, mode, args, method, settings)
    more = size * (MORE if target.recycles(args) else 2)
    could = settings.points == "auto" and settings.looping["checkpoint"] is None
    if not enough and could and more * model.people(*args) <= MOST:
        settings = dataclasses.replace(settings, points=more)
        drawn, _, _ = _at(target, *settle(target, args, flat(start), settings), args, method, settings)
        drawn = dataclasses.replace(drawn, how=f"{drawn.how} {size} points were too few, so all was done again.")
    return drawn


def _at(
    target: Marginal, points: Points, mode: Mode, args: Arguments, method: str, settings: Settings
) -> tuple[Drawn, int, bool]:
    """The whole fit from a mode, at points placed for it; how many they are, and whether they were enough."""
    engine, cheap = "nuts" if method == "marginal" else method, target.recycles(args)
    z, facts = draw(target.density, (points, *args), mode, engine, settings, cheap=cheap)
    size, people = points.log_weight.shape
    facts["how"] += f" {people} people integrated out at {size} points each."
    enough = True
    if method != "map":
        z, facts, enough = _corrected(target, args, points, z, facts, settings)
    shared = as_sites(target.density, (points, *args), z, mode, facts)
    every = jnp.asarray(z.reshape(-1, z.shape[-1]), target.density.start.dtype)
    taste = np.asarray(target.tastes(every, points, args, jax.random.fold_in(settings.key, 9)))
    sites = {**shared.sites, "taste": taste.reshape(*z.shape[:2], *taste.shape[1:])}
    return dataclasses.replace(shared, sites=sites), size, enough


def _corrected(
    target: Marginal, args: Arguments, points: Points, z: np.ndarray, facts: dict[str, Any], settings: Settings
) -> tuple[np.ndarray, dict[str, Any], bool]:
    """Draws resampled by the weights of a finer likelihood, chain by chain and in order, and whether they are right now.

    Where each point costs a likelihood, some draws are asked, and what comes of it is said and not done.
    """
    cheap, (size, people) = target.recycles(args), points.log_weight.shape
    each = z.reshape(-1, z.shape[-1])
    each = each if cheap else each[np.linspace(0, len(each) - 1, min(ASKED, len(each))).astype(int)]
    sets = int(np.clip(MOST // (size * people), 2, SETS))
    change = _change(target, args, points, each, sets, settings)
    k = k_hat(change)
    share = np.exp(change - change.max())
    moved = np.max(np.abs(share @ each / share.sum() - each.mean(0)) / np.maximum(each.std(0), 1e-300))
    right = cheap and k < GOOD_K
    done = "moved" if right else "would move"
    facts = {**facts, "method": "marginal" if facts["method"] == "nuts" else facts["method"]}
    facts["how"] += f" {sets * size} points {done} means by at most {moved:.2f} posterior sd (k-hat {k:.2f})."
    facts["k_hat"] = {**facts.get("k_hat", {}), "people": k}
    enough = bool(right or moved <= TOLERATED)
    if not enough:
        said = f"The integral over people is off by about {moved:.2f} posterior sd: raise `points` from {size}."
        facts["notes"] = (*facts["notes"], said)
    if right:
        chains, draws = z.shape[:2]
        picked = [np.sort(resampled(w, draws, settings.seed + c)) for c, w in enumerate(change.reshape(chains, draws))]
        z = np.stack([z[c, i] for c, i in enumerate(picked)])
    return z, facts, enough


def _change(
    target: Marginal, args: Arguments, points: Points, each: np.ndarray, sets: int, settings: Settings
) -> np.ndarray:
    """Log-likelihood of draws `[draws, size]` by `sets` further sets of points, placed around them, less that by `points`."""
    dtype, people = target.density.start.dtype, points.log_weight.shape[1]
    batch = max(1, ENTRIES // people)
    rng, found = np.random.default_rng(settings.seed), np.zeros(len(each))
    further = []
    for i in range(sets):
        some = each[rng.integers(len(each), size=COMPONENTS - 1)]
        near, key = np.vstack([each.mean(0), some]), jax.random.fold_in(settings.key, 20 + i)
        further.append(placed(target, args, near, points.log_weight.shape[0], key=key, matched=False))
    for start in range(0, len(each), batch):
        z = jnp.asarray(each[start : start + batch], dtype)
        told = [np.asarray(target.log_likelihood(z, at, args), float) for at in further]
        fine = np.logaddexp.reduce(told, axis=0) - np.log(sets)
        coarse = np.asarray(target.log_likelihood(z, points, args), float)
        found[start : start + batch] = np.sum(fine - coarse, -1)
    return found


def fit_everything(
    model: Any, data: Any, args: Arguments, dtype: Any, settings: Settings, settled: tuple[Points, Mode] | None = None
) -> Drawn:
    """NUTS on what all share and everybody's taste at once: the reference, started where the marginal mode is."""
    start = model.start(data)
    target = marginal(model, start, dtype)
    points, mode = settle(target, args, flat(start), settings) if settled is None else settled
    people, dims = points.log_weight.shape[1], points.root.shape[0]
    whole = density(model, {**start, "raw": np.zeros((people, dims))}, dtype)
    first = target.tastes_at(jnp.asarray(mode.z, dtype), args)
    apart = (points.bumps.centre[0] - first.mean).T
    raw = np.asarray(jax.scipy.linalg.solve_triangular(first.root, apart, lower=True).T, float)
    own = np.asarray(jax.scipy.linalg.solve_triangular(first.root, points.bumps.root[0], lower=True), float)
    parts = lambda shared, raw: flat({**target.density.unravel(shared), "raw": raw})
    mean = parts(jnp.asarray(mode.z, dtype), raw)
    variance = parts(jnp.asarray(np.diag(mode.covariance), dtype), np.sum(own**2, -1))
    at = Mode(mean, variance, mode.potential, mode.gradient_norm, mode.status)
    z, facts = draw(whole, args, at, "nuts", settings)
    facts["how"] += " Everybody's taste is sampled with the rest."
    drawn = as_sites(whole, args, z, at, facts)
    return dataclasses.replace(drawn, sites={k: x for k, x in drawn.sites.items() if k != "raw"})
