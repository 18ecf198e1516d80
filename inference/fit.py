"""Fitting a model of what agents want: the mode first, then NUTS from it, judged and not only stored."""

import os
import warnings
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ._density import density
from ._devices import Devices, leading_axis
from ._mode import find_mode
from ._model import Model
from ._nuts import run_nuts
from ._precision import Precision, cast, precision_scope
from .posterior import Posterior

Method = Literal["auto", "nuts", "map"]


def fit(
    model: Any,
    data: Any,
    *,
    key: PRNGKeyArray | None = None,
    method: Method = "auto",
    draws: int = 500,
    warmup: int = 300,
    chains: int = 4,
    target_accept: float = 0.8,
    check: bool = True,
    strict: bool = False,
    precision: Precision = "float64",
    devices: Devices = "auto",
    progress: bool = True,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
) -> Posterior:
    """Fit a model to data.

    Args:
        model: a model of `fairhand.models`, such as `choice.ConditionalLogit` or `ratings.CommonLaw`.
        data: what it takes, such as `choice.ChoiceData` or `ratings.RatingData`.
        key: all randomness; `jax.random.key(0)` by default.
        method: `"nuts"`, which `"auto"` takes, starts each chain at the mode jittered by 1.5 of its standard deviations,
            with the Laplace covariance as metric; `"map"` stops at the mode and draws from its Laplace approximation.
        draws: kept per chain. `warmup`: adaptation before them. `chains`: all in one program.
        target_accept: NUTS's target acceptance probability.
        check: refuse designs that are not identified, by name, before sampling.
        strict: raise if a diagnosis finds a problem, instead of warning.
        precision: inside this call only. `devices`: shard chains over so many devices.
        progress: show a bar in a terminal. `checkpoint`, `resume`: file to continue from after Ctrl-C or a crash.

    Returns:
        A `Posterior`: draws, diagnosis with advice, and worlds of strangers or of the people in the data.

    Raises:
        ValueError: data that cannot identify the model, or a bad argument, by name.

    Example:
        >>> import numpy as np
        >>> from fairhand.models import choice
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(200, 3, 1))
        >>> taken = (x[..., 0] + rng.gumbel(size=(200, 3))).argmax(1)
        >>> data = choice.ChoiceData(x, taken, ("a", "b", "c"), ("quality",))
        >>> posterior = fit(choice.ConditionalLogit(("quality",), constants=False), data, method="map")
        >>> bool(abs(posterior.mean["quality"] - 1) < 0.3)
        True
    """
    if method not in ("auto", "nuts", "map"):
        raise ValueError(f"`method` must be 'auto', 'nuts' or 'map', got {method!r}.")
    if not isinstance(model, Model):
        raise ValueError(
            f"`model` must be a model of `fairhand.models`, such as `choice.ConditionalLogit`; got {model!r}."
        )
    for name, value in {"draws": draws, "chains": chains, "warmup": warmup + 1}.items():
        if value < 1:
            raise ValueError(f"`{name}` is too small: {value}.")
    if not 0 < target_accept < 1:
        raise ValueError(f"`target_accept` must be between 0 and 1, got {target_accept}.")
    notes = []
    if check:
        notes += model.identify(data)
    key = jax.random.key(0) if key is None else key
    with precision_scope(precision) as dtype, jax.numpy_rank_promotion("allow"):
        target = density(model, model.start(data), dtype)
        args = cast(tuple(jnp.asarray(x) for x in model.arguments(data)), dtype)
        mode = find_mode(target, args, 1e-6 if precision == "float64" else 1e-2)
        notes += [mode.status] if mode.status else []
        looped = None
        if method == "map":
            seed = int(np.asarray(jax.random.key_data(key)).ravel()[-1])
            kept = {"z": mode.sample(chains * draws, seed).reshape(chains, draws, -1)}
        else:
            looped, kept = run_nuts(
                target, args, mode, key=key, chains=chains, warmup=warmup, draws=draws, target=target_accept,
                sharding=leading_axis(devices, chains), progress=progress, checkpoint=checkpoint, resume=resume,
                fingerprint=_fingerprint(model, data, key, chains, warmup, draws, target_accept, precision),
            )  # fmt: skip
            if looped.status:
                notes.append(looped.status)
            if not kept or kept["z"].shape[1] == 0:
                raise KeyboardInterrupt("Interrupted during warm-up: no draw to return; resume from the checkpoint.")
        flat = kept.pop("z").astype(dtype)
        sites = target.constrain(jnp.asarray(flat.reshape(-1, flat.shape[-1])), args)
        sites = {name: np.asarray(x).reshape(*flat.shape[:2], *x.shape[1:]) for name, x in sites.items()}
        centre = {
            name: np.asarray(x)[0] for name, x in target.constrain(jnp.asarray(mode.z, dtype)[None], args).items()
        }
    posterior = Posterior.of(
        model, data, sites, centre, kept, tuple(notes), "laplace" if method == "map" else "nuts", precision,
        target_accept, (0.0, 0.0) if looped is None else (looped.first_seconds, looped.rest_seconds),
    )  # fmt: skip
    problems = posterior.diagnosis.problems
    if problems:
        if strict:
            raise ValueError("The fit is not to be trusted: " + " ".join(problems))
        warnings.warn(" ".join(problems), RuntimeWarning, stacklevel=2)
    return posterior


def _fingerprint(model, data, *settings: Any) -> list[Any]:
    plain = [jax.random.key_data(s).tolist() if hasattr(s, "dtype") else s for s in settings]
    return [model.to_spec(), data.sha256, *plain]
