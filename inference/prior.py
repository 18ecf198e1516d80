"""What the model says before any data: draws of the prior, as a result with all the methods of a posterior."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import PRNGKeyArray
from numpyro import handlers
from numpyro.distributions import biject_to

from ..models._check import require
from ..models.hierarchy import AbstractHierarchy
from ._asked import check_model, check_whole, key_of
from ._precision import Precision, cast, precision_scope
from .posterior import Posterior


def prior(
    model: Any, data: Any, *, draws: int = 500, key: PRNGKeyArray | None = None, precision: Precision = "float64"
) -> Posterior:
    """Draw from a model's prior, with the data as its design only.

    What comes is used like a posterior: `scalars` for what the prior says of each number, `predictive` and `check` for
    what data it expects, `world` for who would come. Look at it before fitting: a prior that predicts absurd data is one
    that nobody believes.

    Args:
        model: a model of `fairhand.models`.
        data: what it takes; only its design matters, not what was observed.
        draws: how many.
        key: all randomness; `jax.random.key(0)` by default.
        precision: inside this call only.

    Returns:
        A `Posterior` with `method="prior"`.

    Raises:
        ValueError: a prior is improper (flat), by the name of its site.

    Example:
        >>> from fairhand.models import choice
        >>> data = choice.ChoiceData(np.ones((5, 2, 1)) * [[1.0], [0.0]], np.zeros(5, int), ("a", "b"), ("x",))
        >>> before = prior(choice.ConditionalLogit("x", constants=False), data, draws=400)
        >>> bool(abs(before.sd["x"] - 2.5 / 0.5) < 0.5), before.predictive()["chosen"].shape
        (True, (1, 400, 5))
    """
    check_model(model, data)
    check_whole("draws", draws)
    key = key_of(key)
    with precision_scope(precision), jax.numpy_rank_promotion("allow"):
        args = _arguments(model, data)
        flat = _improper(model.numpyro_model, args)
        require(
            not flat,
            f"the prior of {', '.join(f'`{n}`' for n in flat)} is improper, so nothing can be drawn from it: give the model "
            "a proper prior, such as a finite `prior_scale`.",
        )
        found = _program(model.numpyro_model)(jax.random.split(key, draws), args)
        sites = {name: np.asarray(x)[None] for name, x in found.items()}
    return Posterior.of(model, data, sites, None, {}, (), "prior", precision, 0.0, (0.0, 0.0))


def prior_scalars(model: Any, data: Any, key: PRNGKeyArray, draws: int = 500) -> dict[str, np.ndarray] | None:
    """Draws `[draws]` of the prior of each number a diagnosis judges, in the precision of the scope.

    Models in which people differ are asked only for what all share, so this is cheap however many people there are.

    Returns:
        Arrays by parameter name; None where a prior is improper.
    """
    with jax.numpy_rank_promotion("allow"):
        args = _arguments(model, data)
        program = _told_by_all(model)
        if _improper(program, args):
            return None
        found = {name: np.asarray(x) for name, x in _program(program)(jax.random.split(key, draws), args).items()}
        return {name: np.asarray(x) for name, x in model.scalars(found, data).items()}


def _told_by_all(model: Any) -> Callable[..., Any]:
    """The part of a model that all share, whose sites suffice for its scalars."""
    return model.shared if isinstance(model, AbstractHierarchy) else model.numpyro_model


def _arguments(model: Any, data: Any) -> tuple[Any, ...]:
    return cast(tuple(jnp.asarray(x) for x in model.arguments(data)), jnp.result_type(float))


@lru_cache(maxsize=32)
def _program(model: Callable[..., Any]) -> Callable[..., Any]:
    """Draws of all that is not observed, one a key; compiled once for equal models and shapes."""

    def one(key, args):
        trace = handlers.trace(handlers.seed(model, key)).get_trace(*args)
        drawn = lambda s: s["type"] == "deterministic" or (s["type"] == "sample" and not s["is_observed"])
        return {name: site["value"] for name, site in trace.items() if drawn(site)}

    return jax.jit(jax.vmap(one, (0, None)))


def _improper(model: Callable[..., Any], args: tuple[Any, ...]) -> list[str]:
    """Sites with flat priors, found by tracing alone."""
    found = []

    def fill(site):
        if site["type"] != "sample" or site["is_observed"]:
            return None
        law = site["fn"]
        while hasattr(law, "base_dist"):
            law = law.base_dist
        if not isinstance(law, dist.ImproperUniform):
            return None
        found.append(site["name"])
        transform = biject_to(site["fn"].support)
        return transform(jnp.zeros(transform.inverse_shape(site["fn"].shape())))

    def traced(key, args):
        handlers.trace(handlers.substitute(handlers.seed(model, key), substitute_fn=fill)).get_trace(*args)

    jax.eval_shape(traced, jax.random.key(0), args)
    return found
