"""Fitting a model of what agents want: the mode first, then NUTS from it, judged and not only stored."""

import os
import warnings
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from ..models._check import require
from ..models.hierarchy import AbstractHierarchy
from ._asked import check_model, check_whole, key_of
from ._devices import Devices
from ._drawn import Settings
from ._integrated import fit_everything, fit_integrated, fit_people
from ._precision import Precision, cast, precision_scope
from ._svi import Guide
from ._whole import fit_whole
from .posterior import Posterior
from .prior import prior_scalars

Method = Literal["auto", "map", "nuts", "marginal", "svi"]


def fit(
    model: Any,
    data: Any,
    *,
    key: Any = None,
    method: Method = "auto",
    draws: int = 500,
    warmup: int = 300,
    chains: int = 4,
    target_accept: float = 0.8,
    check: bool = True,
    strict: bool = False,
    points: Any = "auto",
    guide: Guide = "auto",
    contraction: bool = True,
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
        method: how.

            * `"auto"`: `"marginal"` where people differ (`models.hierarchy`), else `"nuts"`; and `"nuts"` where points placed for
              people cannot follow, as where a spread may be 0.
            * `"map"`: the mode and its Laplace approximation; the first answer, in about a second after compilation.
            * `"nuts"`: each chain starts at the mode jittered by 1.5 of its standard deviations, with the Laplace covariance
              as metric; where people differ, everybody's taste is sampled with what all share.
            * `"marginal"`: NUTS on what all share, people integrated out by importance sampling at their own modes; then
              draws are set right by weights of a finer likelihood, and everybody's taste is drawn. k-hat is printed.
            * `"svi"`: a guide fitted by gradient until its ELBO rises no more, resampled by weights; k-hat is printed.
        draws: kept per chain. `warmup`: adaptation before them. `chains`: all in one program.
        target_accept: NUTS's target acceptance probability.
        points: where people are integrated out, for each of them; a power of 2, or "auto": the more the fewer people.
        guide: of `"svi"`: `"normal"`, `"multivariate"`, `"lowrank"`, or `"auto"` by size.
        contraction: compare the spread of each sampled parameter with that of its prior.
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
    require(method in get_args(Method), f"`method` must be one of {get_args(Method)}, got {method!r}.")
    check_model(model, data)
    differ = issubclass(type(model), AbstractHierarchy)
    require(
        differ or method != "marginal",
        f"`method='marginal'` integrates people out, and in `{type(model).__name__}` all are alike: use 'nuts'.",
    )
    require(
        points == "auto" or (isinstance(points, int) and points >= 32 and points & (points - 1) == 0),
        f'`points` must be "auto" or a power of 2 and at least 32, got {points!r}.',
    )
    for name, value, least in (("draws", draws, 1), ("chains", chains, 1), ("warmup", warmup, 0)):
        check_whole(name, value, least)
    require(not resume or checkpoint is not None, "`resume=True` needs `checkpoint`, the file to continue from.")
    if not 0 < target_accept < 1:
        raise ValueError(f"`target_accept` must be between 0 and 1, got {target_accept}.")
    key = key_of(key)
    notes = tuple(model.identify(data)) if check else ()
    looping = {"progress": progress, "checkpoint": checkpoint, "resume": resume}
    looping["fingerprint"] = _fingerprint(
        model, data, key, method, chains, warmup, draws, target_accept, points, guide, precision
    )
    settings = Settings(key, draws, warmup, chains, target_accept, points, precision, devices, guide, looping)
    with precision_scope(precision) as dtype, jax.numpy_rank_promotion("allow"):
        args = cast(tuple(jnp.asarray(x) for x in model.arguments(data)), dtype)
        if not differ:
            drawn = fit_whole(model, data, args, "nuts" if method == "auto" else method, dtype, settings)
        elif method == "auto":
            drawn = fit_people(model, data, args, dtype, settings)
        elif method == "nuts":
            drawn = fit_everything(model, data, args, dtype, settings)
        else:
            drawn = fit_integrated(model, data, args, method, dtype, settings)
        judged = contraction and bool(drawn.sampler)
        prior = prior_scalars(model, data, jax.random.fold_in(key, 3)) if judged else None
    posterior = Posterior.of(
        model, data, drawn.sites, drawn.centre, drawn.sampler, notes + drawn.notes, drawn.method, precision,
        target_accept, drawn.seconds, how=drawn.how, k_hat=drawn.k_hat or None, prior=prior,
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
