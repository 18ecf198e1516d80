"""What each person wants, and what people would give up of one thing for another."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ..models._check import require
from ._batches import batch_size_of, batches
from ._storage import people_sites


@dataclass(frozen=True)
class Ratio:
    """A ratio of two numbers of the posterior.

    Attributes:
        name: numerator over denominator. `median`, `low`, `high`: of the draws; a ratio of posteriors may have no mean.
        level: of the interval. `draws`: `[draws]`.
        caveat: empty, or why the interval is not to be trusted.
    """

    name: str
    median: float
    low: float
    high: float
    level: float
    draws: np.ndarray
    caveat: str

    def __str__(self) -> str:
        line = f"{self.name}: {self.median:.4g}, {self.level:.0%} interval {self.low:.4g} to {self.high:.4g}"
        return f"{line}. {self.caveat}" if self.caveat else line


def ratio(posterior: Any, numerator: str, denominator: str, level: float = 0.9) -> Ratio:
    r"""How many units of `denominator`'s column make up for one unit of `numerator`'s: :math:`\beta_n / \beta_d`.

    With a cost below, it is the worth of one unit in money; its sign is that of a trade of like for like, so the value of
    time is `ratio("time", "cost")`, positive where both are disliked.

    Args:
        posterior: whose `names` these are. `numerator`, `denominator`: two of them.
        level: of the interval.

    Raises:
        ValueError: names that are not in the posterior.

    Warns:
        RuntimeWarning: the denominator's interval holds 0, so the ratio jumps between plus and minus infinity.

    Source: Daly, Hess and Train, "Assuring finite moments for willingness to pay in random coefficient models" (2012).

    Example:
        >>> import fairhand as fh
        >>> from fairhand.models import choice
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(500, 2, 2))
        >>> taken = (x @ [-1.0, -2.0] + rng.gumbel(size=(500, 2))).argmax(1)
        >>> data = choice.ChoiceData(x, taken, ("bus", "car"), ("time", "cost"))
        >>> posterior = fh.fit(choice.ConditionalLogit(("time", "cost"), constants=False), data, method="map", draws=50)
        >>> value = posterior.ratio("time", "cost")
        >>> value.low < 0.5 < value.high
        True
    """
    require(0 < level < 1, f"`level` must be between 0 and 1, got {level}.")
    values = posterior.scalars
    for what, name in (("numerator", numerator), ("denominator", denominator)):
        require(
            name in values, f"`{what}` {name!r} is not in the posterior: it has {', '.join(f'`{n}`' for n in values)}."
        )
    above, below = (np.asarray(values[n], float).ravel() for n in (numerator, denominator))
    ends = [(1 - level) / 2, (1 + level) / 2]
    floor, ceiling = np.quantile(below, [0.025, 0.975])
    caveat = ""
    if floor <= 0 <= ceiling:
        share = min((below < 0).mean(), (below > 0).mean())
        caveat = (
            f"`{denominator}` may be 0 (95 % interval {floor:.3g} to {ceiling:.3g}; {share:.1%} of draws on the other side), so "
            f"{numerator}/{denominator} is not told: name it as `numeraire`, which keeps its sign, or bring more data."
        )
        warnings.warn(caveat, RuntimeWarning, stacklevel=3)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = above / below
    low, high = np.quantile(draws, ends)
    return Ratio(f"{numerator}/{denominator}", float(np.median(draws)), float(low), float(high), level, draws, caveat)


def people(posterior: Any, level: float = 0.9) -> xr.Dataset:
    """Each person's own parameters: what the posterior says of them, given all data and their own.

    Coefficients are in the units of the data where the model gives them so.

    Args:
        posterior: of a model in which people differ. `level`: of the intervals.

    Returns:
        `mean`, `sd`, `low`, `median`, `high`, `[person, term]`, by names; `.to_dataframe()` makes a table of it.

    Raises:
        ValueError: everybody is alike in this model, or the posterior was saved without people.

    Example:
        >>> import fairhand as fh
        >>> from fairhand.models import ratings
        >>> given = np.random.default_rng(0).beta(2.0, [[1.0], [2.0], [4.0]], (3, 25))
        >>> data = ratings.RatingData(given, agents=("ann", "bob", "cy"))
        >>> before = fh.prior(ratings.HierarchicalLaw("beta"), data, draws=200)
        >>> table = before.people().to_dataframe()
        >>> table.loc[("ann", "mean")].index.tolist()
        ['mean', 'sd', 'low', 'median', 'high']
    """
    require(0 < level < 1, f"`level` must be between 0 and 1, got {level}.")
    model, name = posterior.model, type(posterior.model).__name__
    group = posterior.groups["posterior"]
    own = [n for n in people_sites(group) if group[n].ndim <= 4 and not n.endswith("raw")]
    if not own and set(posterior.dropped) - {"raw"}:
        with posterior.whole():
            raise KeyError(next(n for n in posterior.dropped if n != "raw"))
    require(own, f"`{name}` has no parameters by person: fit a model in which people differ, such as `MixedLogit`.")
    ends = [(1 - level) / 2, 0.5, (1 + level) / 2]
    if hasattr(model, "coefficients"):
        terms, table = list(model.names(posterior.data.alternatives)), _coefficients(posterior)
    else:
        parts, terms = [], []
        for n in own:
            x = group[n].values.reshape(-1, *group[n].shape[2:])
            labels = [n] if x.ndim == 2 else [f"{n}[{c}]" for c in group[group[n].dims[-1]].values]
            if x.ndim == 3 and x.shape[1] == x.shape[2]:  # by pairs of people
                continue
            parts.append(x.reshape(*x.shape[:2], -1))
            terms += labels
        table = np.concatenate(parts, -1)
    rows = [np.quantile(table[:, i], ends, axis=0) for i in range(table.shape[1])]
    low, median, high = np.moveaxis(np.stack(rows), 1, 0)
    found = {"mean": table.mean(0), "sd": table.std(0), "low": low, "median": median, "high": high}
    data = posterior.data
    who = data.people if hasattr(data, "people") else data.agents
    names = {"person": np.asarray(who).astype(str), "term": terms}
    return xr.Dataset({n: (("person", "term"), x) for n, x in found.items()}, names)


def _coefficients(posterior: Any) -> np.ndarray:
    sites, parts = posterior.sites, []
    with posterior.computing():
        total = len(next(iter(sites.values())))
        for rows, some in batches(sites, batch_size_of("auto", posterior.data, sites, total)):
            parts.append(np.asarray(posterior.model.coefficients(some, posterior.data))[: rows.stop - rows.start])
    return np.concatenate(parts)
