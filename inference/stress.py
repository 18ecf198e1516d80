"""Stress worlds: the same model under other assumptions on how the data came about, and rules run under each."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..models.rankings import Stable, Truthful, Undominated
from ..models.world import Draws
from ._asked import check_model
from .fit import fit
from .posterior import Posterior


class Stress:
    """One posterior for each assumption.

    Attributes:
        posteriors: by the name of the assumption, the stated one first.
        stated: name of the assumption that the model itself makes.
        sentences: each assumption in words, by name.
        refused: by name, why the data cannot be read under an assumption.
    """

    def __init__(self, posteriors: dict[str, Posterior], sentences: dict[str, str], refused: dict[str, str]):
        self.posteriors, self.sentences, self.refused = posteriors, sentences, refused
        self.stated = next(iter(posteriors))

    def table(self) -> pd.DataFrame:
        """Posterior mean and sd of each number under the stated assumption; then, for each other, mean and `shift`.

        The shift is the difference to the stated mean in posterior standard deviations under the stated assumption: beyond
        about 2, what is concluded rests on the assumption. A Monte-Carlo error is in it, of `1 / sqrt(draws)` or so.
        """
        base = self.posteriors[self.stated]
        mean, sd = base.mean, base.sd
        columns: dict[tuple[str, str], dict[str, float]] = {(self.stated, "mean"): mean, (self.stated, "sd"): sd}
        for name, posterior in self.posteriors.items():
            if name != self.stated:
                other = posterior.mean
                columns[name, "mean"] = other
                columns[name, "shift"] = {k: (other[k] - mean[k]) / max(sd[k], 1e-300) for k in mean if k in other}
        return pd.DataFrame(columns)

    def worlds(self, **where: Any) -> dict[str, Draws]:
        """`Posterior.world(**where)` under each assumption, for `propagate`: a rule tuned under one, run under the others."""
        return {name: posterior.world(**where) for name, posterior in self.posteriors.items()}

    def __str__(self) -> str:
        table = self.table()
        lines = [f"{name}: {self.sentences[name]}" for name in self.posteriors]
        lines += [f"{name}: not fitted. {why}" for name, why in self.refused.items()]
        lines.append(table.round(3).to_string())
        shifts = table.xs("shift", axis=1, level=1) if len(self.posteriors) > 1 else pd.DataFrame()
        if shifts.size:
            size = shifts.abs().stack()
            at, which = size.idxmax()  # pyright: ignore[reportGeneralTypeIssues]
            lines.append(
                f"The greatest shift is that of `{at}` under {which}: {shifts.loc[at, which]:+.1f} posterior standard deviations."
            )
        return "\n".join(lines)

    __repr__ = __str__


def stress(
    model: Any,
    data: Any,
    *,
    assumptions: Sequence[Any] | Mapping[str, Any] | None = None,
    method: Any = "map",
    **fitting: Any,
) -> Stress:
    """Fit the same model under other assumptions on reports, to see what the conclusions rest on.

    Args:
        model: a model of `fairhand.models.rankings`; its own `reports` is the stated assumption, which comes first.
        data: its rankings.
        assumptions: the others, or a mapping that names them; None is every one of `Truthful`, `Undominated` and `Stable`
            that the model does not make and the data can be read under.
        method: as in `fit`; "map" answers fastest.
        **fitting: other arguments of `fit`.

    Returns:
        A `Stress`. An assumption under which the data identify nothing is `refused`, with the reason.

    Raises:
        ValueError: the model makes no assumption on reports, or its own cannot be fitted.

    Source: the comparison is that of G. Fack, J. Grenet and Y. He (2019), AER 109.

    Example:
        >>> import numpy as np
        >>> from fairhand.models.rankings import PlackettLuce, RankingData, Truthful
        >>> rng = np.random.default_rng(0)
        >>> order = np.argsort(-(np.array([0.0, 1.0, 2.0]) + rng.gumbel(size=(80, 3))), 1)
        >>> data = RankingData(order[:, :2], ("a", "b", "c"), np.ones((80, 3)), unranked="below")
        >>> found = stress(PlackettLuce(reports=Truthful("serial dictatorship")), data, draws=50)
        >>> list(found.posteriors), sorted(found.refused)
        (['Truthful', 'Undominated'], [])
    """
    if not hasattr(model, "assuming"):
        raise ValueError(
            f"`model` {type(model).__name__} makes no assumption on reports to be stressed; models of "
            "`fairhand.models.rankings` do."
        )
    check_model(model, data)
    if assumptions is None:
        others: list[Any] = [Truthful.assumed("this is the stress world of it"), Undominated()]
        if getattr(data, "assigned", None) is not None and getattr(data, "feasible", None) is not None:
            others.append(Stable())
        assumptions = [a for a in others if a.name != model.reports.name]
    given = assumptions if isinstance(assumptions, Mapping) else {a.name: a for a in assumptions}
    if not isinstance(assumptions, Mapping) and len(given) < len(assumptions):
        raise ValueError("`assumptions` has two of one kind: name them, as in `{'one': ..., 'other': ...}`.")
    stated = model.reports.name
    if stated in given:
        raise ValueError(f"`assumptions` names {stated!r} again, which the model states: give it another name.")
    posteriors = {stated: fit(model, data, method=method, **fitting)}
    sentences, refused = {stated: model.reports.sentence}, {}
    for name, reports in given.items():
        sentences[name] = reports.sentence
        other = model.assuming(reports)
        try:
            other.identify(data)
        except ValueError as error:
            refused[name] = str(error)
            continue
        posteriors[name] = fit(other, data, method=method, **fitting)
    return Stress(posteriors, sentences, refused)
