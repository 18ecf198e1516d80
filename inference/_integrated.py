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

FINER, MOST = 8, 2**20  # times as many points in the likelihood that sets draws right, and points of all people in it


def fit_integrated(model: Any, data: Any, args: Arguments, method: str, dtype: Any, settings: Settings) -> Drawn:
    """Draw by `"map"`, `"svi"` or `"marginal"` from what all share; then everybody's taste.

    Draws are set right by importance weights: those of a likelihood with `FINER` times as many points, placed around them.
    """
    start = model.start(data)
    target = marginal(model, start, dtype)
    points, mode = settle(target, args, flat(start), settings)
    z, facts = draw(target.density, (points, *args), mode, "nuts" if method == "marginal" else method, settings)
    z, fine, facts = _corrected(target, args, points, z, facts, settings)
    shared = as_sites(target.density, (points, *args), z, mode, facts)
    every = jnp.asarray(z.reshape(-1, z.shape[-1]), dtype)
    taste = np.asarray(target.tastes(every, fine, args, jax.random.fold_in(settings.key, 9)))
    sites = {**shared.sites, "taste": taste.reshape(*z.shape[:2], *taste.shape[1:])}
    return dataclasses.replace(shared, sites=sites)


def _corrected(
    target: Marginal, args: Arguments, points: Points, z: np.ndarray, facts: dict[str, Any], settings: Settings
) -> tuple[np.ndarray, Points, dict[str, Any]]:
    """Draws resampled by the weights of a finer likelihood, chain by chain and in order; and those finer points."""
    dtype, each = target.density.start.dtype, z.reshape(-1, z.shape[-1])
    some = each[np.linspace(0, len(each) - 1, COMPONENTS - 1).astype(int)]
    size, people = points.log_weight.shape
    finer = int(np.clip(MOST // (size * people), 2, FINER))
    fine = placed(target, args, np.vstack([each.mean(0), some]), finer * size, key=settings.key)
    every = jnp.asarray(each, dtype)
    change = np.asarray(target.log_likelihood(every, fine, args), float)
    change = change - np.asarray(target.log_likelihood(every, points, args), float)
    k = k_hat(change)
    share = np.exp(change - change.max())
    share = share / share.sum()
    moved = np.abs(share @ each - each.mean(0)) / np.maximum(each.std(0), 1e-300)
    how = (
        f"{facts['how']} {points.log_weight.shape[1]} people integrated out at {points.log_weight.shape[0]} points each, set "
        f"right by {fine.log_weight.shape[0]}: k-hat {k:.2f}, which moved means by at most {moved.max():.2f} posterior sd."
    )
    facts = {**facts, "how": how, "k_hat": {**facts.get("k_hat", {}), "people": k}}
    if facts["method"] == "nuts":
        facts["method"] = "marginal"
    if k < GOOD_K:
        chains, draws = z.shape[:2]
        picked = [np.sort(resampled(w, draws, settings.seed + c)) for c, w in enumerate(change.reshape(chains, draws))]
        z = np.stack([z[c, i] for c, i in enumerate(picked)])
    return z, fine, facts


def fit_everything(model: Any, data: Any, args: Arguments, dtype: Any, settings: Settings) -> Drawn:
    """NUTS on what all share and everybody's taste at once: the reference, started where the marginal mode is."""
    start = model.start(data)
    target = marginal(model, start, dtype)
    points, mode = settle(target, args, flat(start), settings)
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
