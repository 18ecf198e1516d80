"""What people would choose if attributes were other: chances with intervals, and elasticities."""

import copy
import inspect
from collections.abc import Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from ..models._check import require
from ._batches import BUDGET, BatchSize, batch_size_of, batches


def predict(
    posterior: Any, data: Any = None, *, draws: int | None = 400, level: float = 0.9, batch_size: BatchSize = "auto"
) -> xr.Dataset:
    """Chance of each alternative in each situation, over the posterior.

    Choices sampled by choice are corrected first, so chances are those of the population.

    Args:
        posterior: of a model of choices.
        data: the fitted data with other attributes (`ChoiceData.changed(attributes=...)`); None takes them as they are.
        draws: how many draws of the posterior, evenly spaced; None takes all.
        level: of the intervals.
        batch_size: draws at a time.

    Returns:
        `mean`, `low` and `high`, `[situation, alternative]`; and `share`, `share_low`, `share_high`, `[alternative]`, of all
        choices, weighted.

    Raises:
        ValueError: the model knows no chances of choices, or the data are not the same people and alternatives.

    Example:
        >>> import fairhand as fh
        >>> from fairhand.models import choice
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(200, 3, 1))
        >>> taken = (x[..., 0] + rng.gumbel(size=(200, 3))).argmax(1)
        >>> data = choice.ChoiceData(x, taken, ("a", "b", "c"), ("quality",))
        >>> posterior = fh.fit(choice.ConditionalLogit(("quality",), constants=False), data, method="map", draws=50)
        >>> better = data.changed(attributes=x + np.array([[1.0], [0.0], [0.0]]))
        >>> bool(posterior.predict(better)["share"][0] > posterior.predict()["share"][0] + 0.1)
        True
    """
    require(0 < level < 1, f"`level` must be between 0 and 1, got {level}.")
    changed = _same_frame(posterior, data)
    sites = _population_sites(posterior, draws)
    total, ends = len(next(iter(sites.values()))), [(1 - level) / 2, (1 + level) / 2]
    shape = (changed.num_situations, len(changed.alternatives))
    width = int(np.clip(BUDGET // (8 * total * shape[1]), 1, shape[0]))  # situations whose draws are kept at a time
    found, shares = np.zeros((3, *shape)), np.zeros((total, shape[1]))
    for start in range(0, shape[0], width):
        block = np.zeros((total, min(width, shape[0] - start), shape[1]))
        for rows, chance in _chances(posterior, sites, changed, batch_size):
            block[rows] = chance[:, start : start + width]
            shares[rows] = np.einsum("dsa,s->da", chance, changed.weight / changed.weight.sum())
        found[0, start : start + width] = block.mean(0)
        found[1:, start : start + width] = np.quantile(block, ends, axis=0)
    axes = ("situation", "alternative")
    each = {name: (axes, x) for name, x in zip(("mean", "low", "high"), found, strict=True)}
    low, high = np.quantile(shares, ends, axis=0)
    all_of_them = {"share": shares.mean(0), "share_low": low, "share_high": high}
    coords = {"situation": np.asarray(changed.situations), "alternative": list(changed.alternatives)}
    return xr.Dataset(each | {name: ("alternative", x) for name, x in all_of_them.items()}, coords)


def elasticities(
    posterior: Any,
    attribute: str,
    *,
    data: Any = None,
    average: Literal["share", "equal"] = "share",
    draws: int | None = 400,
    level: float = 0.9,
    batch_size: BatchSize = "auto",
) -> xr.Dataset:
    r"""By how many per cent the chance of each alternative changes with one per cent of an attribute of each.

    .. math::
        E_{jk} = \frac{\sum_s w_s P_{sj}\, \partial \log P_{sj} / \partial \log x_{sk}}{\sum_s w_s P_{sj}},

    the elasticity of alternative j's share (`average="share"`), own for j = k and cross otherwise; `average="equal"` is the
    plain mean over situations in which both are available. For a conditional logit each term is
    :math:`\beta x_{sk}(1[j = k] - P_{sk})`. Derivatives are exact, by forward differentiation through the model.

    Args:
        posterior: of a model of choices.
        attribute: a column of the data.
        data: as in `predict`. `average`: see above.
        draws: how many draws of the posterior, evenly spaced; None takes all. `level`: of the intervals.
        batch_size: draws at a time.

    Returns:
        `mean`, `low`, `high`, `[alternative, changed]`: of the chance of `alternative` with the attribute of `changed`.

    Raises:
        ValueError: the data have no such column, or nothing in the model depends on it.

    Source: Ben-Akiva and Lerman, *Discrete Choice Analysis* (1985), section 5.5 (sample enumeration).

    Example:
        >>> import fairhand as fh
        >>> from fairhand.models import choice
        >>> rng = np.random.default_rng(0)
        >>> x = rng.uniform(1, 2, size=(200, 2, 1))
        >>> taken = (-2 * x[..., 0] + rng.gumbel(size=(200, 2))).argmax(1)
        >>> data = choice.ChoiceData(x, taken, ("bus", "car"), ("cost",))
        >>> posterior = fh.fit(choice.ConditionalLogit(("cost",), constants=False), data, method="map", draws=50)
        >>> mean = posterior.elasticities("cost")["mean"]
        >>> bool(mean.sel(alternative="bus", changed="bus") < 0 < mean.sel(alternative="bus", changed="car"))
        True
    """
    require(average in ("share", "equal"), f"`average` must be 'share' or 'equal', got {average!r}.")
    require(0 < level < 1, f"`level` must be between 0 and 1, got {level}.")
    changed = _same_frame(posterior, data)
    _takes_changes(posterior.model)
    x = changed.column(attribute)
    flat = getattr(posterior.model, "without_slope", lambda data: {})(changed)
    require(attribute not in flat, f"`attribute` {attribute!r} has no elasticity: {flat.get(attribute)}.")
    sites = _population_sites(posterior, draws)
    total, size = len(next(iter(sites.values()))), len(changed.alternatives)
    found = np.zeros((total, size, size))
    both = changed.available[:, :, None] & changed.available[:, None, :]
    counts = np.einsum("s,sjk->jk", changed.weight, both)
    column = changed.columns.index(attribute)
    with posterior.computing():
        attributes = jnp.asarray(changed.attributes)
        for rows, some in batches(sites, batch_size_of(batch_size, changed, sites, total)):
            chances = lambda a, some=some: _probabilities(posterior, some, _with(changed, a))
            kept = slice(0, rows.stop - rows.start)
            for k in range(size):
                move = jnp.zeros_like(attributes).at[:, k, column].set(jnp.where(changed.available[:, k], x[:, k], 0.0))
                p, slope = (np.asarray(part, float) for part in jax.jvp(chances, (attributes,), (move,)))
                if average == "share":
                    top, under = (np.einsum("s,dsj->dj", changed.weight, y) for y in (slope, p))
                    found[rows, :, k] = (top / np.where(under > 0, under, np.nan))[kept]
                else:
                    relative = np.where(p > 0, slope / np.where(p > 0, p, 1.0), 0.0)
                    seen = np.einsum("s,sj,dsj->dj", changed.weight, both[:, :, k], relative)
                    found[rows, :, k] = (seen / np.where(counts[:, k] > 0, counts[:, k], np.nan))[kept]
    require(
        bool(np.any(np.nan_to_num(found))),
        f"`attribute` {attribute!r} changes no chance: the model does not use this column.",
    )
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0)
    named = {"mean": found.mean(0), "low": low, "high": high}
    options = list(changed.alternatives)
    axes = ("alternative", "changed")
    return xr.Dataset({n: (axes, y) for n, y in named.items()}, {"alternative": options, "changed": options})


def _chances(posterior: Any, sites: Any, changed: Any, batch_size: BatchSize) -> Iterator[tuple[slice, np.ndarray]]:
    total = len(next(iter(sites.values())))
    with posterior.computing():
        for rows, some in batches(sites, batch_size_of(batch_size, changed, sites, total)):
            yield rows, np.asarray(_probabilities(posterior, some, changed))[: rows.stop - rows.start]


def _probabilities(posterior: Any, sites: Any, changed: Any) -> Any:
    model, data = posterior.model, posterior.data
    if changed is data:
        return model.choice_probabilities(sites, data)
    return model.choice_probabilities(sites, data, changed=changed)


def _same_frame(posterior: Any, changed: Any) -> Any:
    """The data to predict for; refuses what the posterior cannot speak of."""
    model, data = posterior.model, posterior.data
    name = type(model).__name__
    require(hasattr(model, "choice_probabilities"), f"`{name}` is no model of choices: it has no chances to predict.")
    if changed is None or changed is data:
        return data
    _takes_changes(model)
    require(
        isinstance(changed, type(data))
        and changed.alternatives == data.alternatives
        and changed.columns == data.columns,
        f"`data` must have the alternatives {list(data.alternatives)} and columns {list(data.columns)} that were fitted; "
        "build it with `ChoiceData.changed`.",
    )
    own = "taste" in posterior.groups["posterior"] or hasattr(model, "memberships")
    require(
        not own or np.array_equal(changed.people, data.people),
        f"`data` must be of the people that were fitted, as `{name}` knows tastes of their own: build it with "
        "`ChoiceData.changed`; for others use `world(new=...)`.",
    )
    return changed


def _takes_changes(model: Any) -> None:
    require(
        "changed" in inspect.signature(model.choice_probabilities).parameters,
        f"`{type(model).__name__}` can only predict for the data as they were fitted, and not where attributes change.",
    )


def _population_sites(posterior: Any, draws: int | None) -> dict[str, np.ndarray]:
    """Sites of so many draws, coefficients of choice-based samples corrected."""
    sites, model = posterior.thinned(draws), posterior.model
    if getattr(model, "population_shares", None) is not None:
        with posterior.computing():
            sites["coefficient"] = np.asarray(model.correct(sites["coefficient"], posterior.data))
    return sites


def _with(data: Any, attributes: Any) -> Any:
    """The data with attributes that may be traced, which the class itself would refuse."""
    traced = copy.copy(data)
    object.__setattr__(traced, "attributes", attributes)
    return traced
