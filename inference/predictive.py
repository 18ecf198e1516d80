"""Data that might have been seen instead, draw by draw in bounded memory."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import PRNGKeyArray

from ..models._check import require
from ._asked import check_whole
from ._batches import BatchSize, batch_size_of, batches

Sites = dict[str, np.ndarray]


def predictive(
    posterior: Any, *, key: PRNGKeyArray | None = None, draws: int | None = None, batch_size: BatchSize = "auto"
) -> xr.Dataset:
    """Replicate the data once for each draw.

    Every draw has a key of its own, so the answer does not depend on `batch_size`.

    Args:
        posterior: of a model that can `replicate`, or a model of choices that knows `choice_probabilities`.
        key: all randomness; `jax.random.key(0)` by default.
        draws: how many, evenly spaced; None takes all and keeps their chains.
        batch_size: draws at a time; `"auto"` takes what fits 256 MiB, by the sizes of data and sites.

    Returns:
        `[chain, draw, ...]` under the name of what was observed.

    Raises:
        ValueError: a bad `batch_size`, or a model that cannot replicate data.

    Example:
        >>> import fairhand as fh
        >>> from fairhand.models import choice
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(100, 3, 1))
        >>> taken = (x[..., 0] + rng.gumbel(size=(100, 3))).argmax(1)
        >>> data = choice.ChoiceData(x, taken, ("a", "b", "c"), ("quality",))
        >>> posterior = fh.fit(choice.ConditionalLogit(("quality",), constants=False), data, method="map", draws=50)
        >>> again = posterior.predictive()["chosen"]
        >>> again.shape, float((again == taken).mean()) > 0.4
        ((4, 50, 100), True)
    """
    if draws is not None:
        check_whole("draws", draws)
    name, axes = observed_name(posterior)
    sizes = posterior.groups["posterior"].sizes
    shape = (sizes["chain"], sizes["draw"]) if draws is None else (1, min(draws, sizes["chain"] * sizes["draw"]))
    found = np.concatenate([y for _, y in replicates(posterior, key=key, draws=draws, batch_size=batch_size)])
    axes = (axes,) if isinstance(axes, str) else tuple(axes)
    return xr.Dataset({name: (("chain", "draw", *axes), found.reshape(*shape, *found.shape[1:]))})


def observed_name(posterior: Any) -> tuple[str, Any]:
    """The variable that is replicated, and its dimensions."""
    observed = posterior.data.observed()
    name = posterior.model.observation[0]
    name = name if name in observed else next(iter(observed))
    return name, observed[name][0]


def replicates(
    posterior: Any, *, key: PRNGKeyArray | None, draws: int | None, batch_size: BatchSize
) -> Iterator[tuple[slice, np.ndarray]]:
    """Batch by batch, which draws, and a data set `[batch, ...]` for each of them."""
    key = jax.random.key(0) if key is None else key
    with posterior.computing():
        sites = posterior.thinned(draws)
        total = len(next(iter(sites.values())))
        size = batch_size_of(batch_size, posterior.data, sites, total)
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(-(-total // size) * size))
        for rows, some in batches(sites, size):
            again = _replicated(posterior.model, some, posterior.data, keys[rows.start : rows.start + size])
            yield rows, _small(np.asarray(again)[: rows.stop - rows.start])


def _small(x: np.ndarray) -> np.ndarray:
    """Whole numbers in the smallest type that holds them."""
    return x.astype(np.min_scalar_type(-int(x.max(initial=0)) - 1)) if x.dtype.kind in "iu" else x


def _replicated(model: Any, sites: Sites, data: Any, keys: Any) -> Any:
    given_tastes = "taste" in sites or not hasattr(model, "replicate")  # then choices do not depend on each other
    if given_tastes and hasattr(model, "choice_probabilities") and hasattr(data, "chosen"):
        return _taken(jnp.asarray(model.choice_probabilities(sites, data)), keys)
    require(
        hasattr(model, "replicate"),
        f"`{type(model).__name__}` cannot replicate data: it has neither `replicate` nor `choice_probabilities`.",
    )
    one = lambda own, key: model.replicate({n: x[None] for n, x in own.items()}, data, key=key)[0]
    try:
        return jax.vmap(one)({n: jnp.asarray(x) for n, x in sites.items()}, keys)
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError):  # it computes in NumPy in part
        return np.stack([np.asarray(one({n: x[i] for n, x in sites.items()}, keys[i])) for i in range(len(keys))])


@jax.jit
def _taken(chance: Any, keys: Any) -> Any:
    """One alternative for each situation and draw, by its chance; those without any are never taken."""
    below = jnp.cumsum(chance, -1)
    tiny = jnp.finfo(chance.dtype).tiny
    u = jax.vmap(lambda key: jax.random.uniform(key, chance.shape[1:2], chance.dtype, minval=tiny))(keys)
    return jnp.sum(below < u[..., None] * below[..., -1:], -1)
