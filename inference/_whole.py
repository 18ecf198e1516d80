"""Engines on the density of everything a model samples: Laplace at the mode, NUTS from it, or a guide."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ._density import Arguments, Density, density
from ._devices import leading_axis
from ._drawn import Drawn, Settings
from ._importance import laplace_k_hat
from ._mode import Mode, find_mode
from ._nuts import chains_in_words, run_nuts
from ._svi import run_svi

LEAST_FOR_K = 100  # draws, below which a k-hat says nothing


def flat(start: dict[str, Any]) -> np.ndarray:
    """Sites as the one vector of their `Density`."""
    return np.asarray(ravel_pytree({name: np.asarray(x, float) for name, x in start.items()})[0])


def fit_whole(model: Any, data: Any, args: Arguments, method: str, dtype: Any, settings: Settings) -> Drawn:
    """Draw by `"map"`, `"nuts"` or `"svi"`."""
    start = model.start(data)
    target = density(model, start, dtype)
    mode = find_mode(target, args, flat(start), settings.tolerance)
    z, facts = draw(target, args, mode, method, settings)
    return as_sites(target, args, z, mode, facts)


def draw(
    target: Density, args: Arguments, mode: Mode, method: str, settings: Settings, *, cheap: bool = True
) -> tuple[np.ndarray, dict]:
    """Draws `[chains, draws, size]` from a density whose mode is known, and what is to be said of them.

    A density that is not `cheap` is not asked thousands of times how good a Laplace approximation is.
    """
    notes = (mode.status,) if mode.status else ()
    if method == "map":
        z = mode.sample(settings.chains * settings.draws, settings.seed)
        k = {"": laplace_k_hat(target, args, mode, z)} if cheap and len(z) >= LEAST_FOR_K else {}
        how = f"Laplace approximation at the mode, {len(z)} draws."
        z = z.reshape(settings.chains, settings.draws, -1)
        return z, {"sampler": {}, "method": "laplace", "how": how, "notes": notes, "k_hat": k}
    if method == "svi":
        total = settings.chains * settings.draws
        looped, kept, found = run_svi(
            target, args, mode, key=settings.key, guide=settings.guide, draws=total, **settings.looping
        )
        _refuse_nothing(kept)
        how = (
            f"{found.guide} guide: {found.stopped} Draws {'' if found.resampled else 'not '}resampled by their weights."
        )
        notes = (*notes, *(p for p in found.problems if "k-hat" not in p), *((looped.status,) if looped.status else ()))
        facts = {"sampler": {}, "method": "svi", "how": how, "notes": notes, "k_hat": {"": found.k_hat}}
        return kept["z"], facts | {"seconds": (looped.first_seconds, looped.rest_seconds)}
    sharding = leading_axis(settings.devices, settings.chains)
    looped, kept = run_nuts(
        target, args, mode, key=settings.key, chains=settings.chains, warmup=settings.warmup, draws=settings.draws,
        target=settings.target_accept, sharding=sharding, **settings.looping,
    )  # fmt: skip
    _refuse_nothing(kept)
    z = kept.pop("z")
    facts = {"sampler": kept, "method": "nuts", "how": chains_in_words(settings.chains, sharding)}
    facts |= {"notes": (*notes, *((looped.status,) if looped.status else ()))}
    return z, facts | {"seconds": (looped.first_seconds, looped.rest_seconds)}


def _refuse_nothing(kept: dict[str, np.ndarray]) -> None:
    if not kept or kept["z"].shape[1] == 0:
        raise KeyboardInterrupt("Interrupted during warm-up: no draw to return; resume from the checkpoint.")


def as_sites(target: Density, args: Arguments, z: np.ndarray, mode: Mode, facts: dict[str, Any]) -> Drawn:
    """Draws `[chains, draws, size]` as the model's sites."""
    dtype = target.start.dtype
    found = target.constrain(jnp.asarray(z.reshape(-1, z.shape[-1]), dtype), args)
    sites = {name: np.asarray(x).reshape(*z.shape[:2], *x.shape[1:]) for name, x in found.items()}
    centre = {name: np.asarray(x)[0] for name, x in target.constrain(jnp.asarray(mode.z, dtype)[None], args).items()}
    return Drawn(sites, centre, **facts)
