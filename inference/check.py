"""Could the model have given such data? Statistics of the data beside those of data that the model predicts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import PRNGKeyArray

from ..models._check import require
from ._batches import BatchSize
from ._statistics import Statistic, of_choices, of_ratings
from .predictive import observed_name, replicates

EXTREME = 0.05  # p-value that is worth a sentence, shared out between the statistics


@dataclass(frozen=True)
class Check:
    """What the data show and what the model predicts for it.

    Attributes:
        table: a row a statistic: observed, mean, 5 % and 95 % quantiles of what is predicted, and `p_value`, the two-sided
            probability, under the model, of something at least as far out.
        problems: a sentence for each statistic that the model does not explain: its p is below 0.05 over their number.
    """

    table: pd.DataFrame
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self.table.round(4).to_string(), *self.problems])


def check(
    posterior: Any,
    statistics: Any = None,
    *,
    groups: Mapping[str, Any] | None = None,
    key: PRNGKeyArray | None = None,
    draws: int | None = 400,
    batch_size: BatchSize = "auto",
) -> Check:
    r"""Posterior predictive check: :math:`p = 2 \min\{P(T(y^*) \le T(y)), P(T(y^*) \ge T(y))\}`, at most 1.

    A small p says that the model does not explain that statistic. A p near 1 is no proof: what the model was fitted to, it
    reproduces, so look at what it was not told, such as shares by group and how alike the choices of one person are.

    Args:
        posterior: or what `fairhand.prior` gave, for a prior predictive check.
        statistics: name to a function of data `[..., observations]` that reduces the last axis, or all axes after the
            first. None takes those of the data's kind. Choices: the share of each alternative, overall and by group, and
            how often two choices of one person agree. Ratings: mean, sd, quantiles, and how far agents' means differ.
        groups: for choices, name to a label for each situation: shares are compared group by group.
        key: all randomness; `jax.random.key(0)` by default.
        draws: how many draws of the posterior, evenly spaced; None takes all.
        batch_size: draws at a time; only statistics are kept.

    Raises:
        ValueError: no statistics are known for such data, or one that does not give a number a draw.

    Source: Gelman, Meng and Stern, "Posterior predictive assessment of model fitness via realized discrepancies" (1996).

    Example:
        >>> import fairhand as fh
        >>> from fairhand.models import choice
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(300, 3, 1))
        >>> taken = (x[..., 0] + [0.0, 0.0, 1.5] + rng.gumbel(size=(300, 3))).argmax(1)
        >>> data = choice.ChoiceData(x, taken, ("a", "b", "c"), ("quality",))
        >>> posterior = fh.fit(choice.ConditionalLogit(("quality",), constants=False), data, method="map", draws=50)
        >>> print(posterior.check().problems[-1].split(";")[0])
        `share of c` is 0.587
    """
    wanted = _wanted(posterior, statistics, groups)
    observed = np.asarray(posterior.data.observed()[observed_name(posterior)[0]][1])
    before = {name: _number(name, f, observed[None], 1)[0] for name, f in wanted.items()}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for _, again in replicates(posterior, key=key, draws=draws, batch_size=batch_size):
        for name, f in wanted.items():
            parts[name].append(_number(name, f, again, len(again)))
    rows, problems = {}, []
    for name, pieces in parts.items():
        x, seen = np.concatenate(pieces), before[name]
        low, high = np.quantile(x, [0.05, 0.95])
        near = 1e-9 * (1 + abs(seen))  # sums of equal numbers in another order
        p = float(min(1.0, 2 * min((x <= seen + near).mean(), (x >= seen - near).mean())))
        rows[name] = {"observed": seen, "predicted": x.mean(), "5%": low, "95%": high, "p_value": p}
        if p < EXTREME / len(parts):
            problems.append(
                f"`{name}` is {seen:.3g}; the model gives {low:.3g} to {high:.3g} (p = {p:.2g}): {_advice(name, seen, x.mean())}."
            )
    return Check(pd.DataFrame(rows).T, tuple(problems))


def _wanted(posterior: Any, statistics: Any, groups: Any) -> Mapping[str, Statistic]:
    data = posterior.data
    if statistics is not None:
        require(
            groups is None, "`groups` are for the statistics of choices; leave them out, or leave out `statistics`."
        )
        named = isinstance(statistics, Mapping) and statistics and all(callable(f) for f in statistics.values())
        require(
            named,
            "`statistics` must map names to functions of the data, such as `{'share of a': lambda y: (y == 0).mean(-1)}`; got "
            f"{statistics!r}.",
        )
        return dict(statistics)
    if hasattr(data, "statistics"):
        return data.statistics()
    if hasattr(data, "chosen") and hasattr(data, "alternatives"):
        return of_choices(data, groups or {})
    require(
        hasattr(data, "ratings"),
        f"no statistics are known for {type(data).__name__}: give `statistics`, name to a function of the data.",
    )
    return of_ratings(data)


def _number(name: str, f: Callable[..., Any], x: np.ndarray, draws: int) -> np.ndarray:
    found = np.asarray(f(x), float)
    require(
        found.shape == (draws,),
        f"`statistics[{name!r}]` must give one number for each of {draws} data sets [{draws}, ...]; it gives shape "
        f"{found.shape}: reduce the last axes only, such as `lambda y: (y == 0).mean(-1)`.",
    )
    return found


def _advice(name: str, seen: float, predicted: float) -> str:
    if name.startswith("share of") and " | " not in name:
        return "give this alternative a constant, or the model what sets it apart"
    if name.startswith("share of"):
        return "let what this group wants differ, by an interaction or by tastes of their own"
    if name.startswith("agreement"):
        more = "people differ more than the model says: let tastes vary between them (`MixedLogit`)"
        return (
            more
            if seen > predicted
            else "people repeat themselves less than the model says: drop what varies by person"
        )
    if name.startswith("sd of agents"):
        return "let agents have laws of their own (`HierarchicalLaw`)"
    return "the model does not explain it; ask which part of it should"
