"""From a study to the library's nouns: data, model, groups, supply, worlds, rules and what they are for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..inference.posterior import Posterior
from ..mechanisms import Averaged, Limit, ex_post, least, mean, metrics
from ..mechanisms.classic import Boston, ProbabilisticSerial, RandomSerialDictatorship, Utilitarian
from ..mechanisms.objective import AbstractObjective
from ..mechanisms.pseudomarket import TokenMarket
from ..models.choice import ChoiceData, ConditionalLogit, identification
from ..models.supply import Menu
from ..models.world import Draws
from .study import Group, Study, StudyError

INCUMBENT = "random serial dictatorship"
EQUAL = "equal tokens"
LEARNED = "learned tokens"
LOTTERIES = 32  # over which the incumbent's expected shares are averaged
POSTED = "learned tokens, prices posted ahead"


@dataclass(frozen=True)
class Setting:
    """A study made concrete, before anything is fitted.

    Attributes:
        goods: names of the rationed options, in order; the outside option comes after them.
        capacity: `[goods]`, seats. `kind`: `[situations]`, group of each person in the data. `groups`: names.
    """

    study: Study
    data: ChoiceData
    model: ConditionalLogit
    goods: tuple[str, ...]
    capacity: np.ndarray
    kind: np.ndarray
    groups: tuple[str, ...]

    @property
    def supply(self) -> Menu:
        """Seats, and the outside option without limit."""
        return Menu.seats(self.capacity)

    @property
    def objective(self) -> AbstractObjective:
        """The mean gain of the group that gains least."""
        return least(metrics.group_means(len(self.groups))).named("gain of the group that gains least")

    @property
    def limit(self) -> Limit:
        """The chance that any seat is promised to more people than there are seats."""
        judged = mean(ex_post(metrics.oversubscribed))
        chance = judged.trained_as(mean(metrics.chance_oversubscribed)).named("chance of over-subscribing any mode")
        return chance <= self.study.rule.oversubscription

    def worlds(self, posterior: Posterior) -> Draws:
        """Strangers like those of the population, one world a posterior draw."""
        market = self.study.market
        return posterior.world(
            supply=self.supply,
            new=market.travellers,
            draws=self.study.propagate.draws,
            outside=market.outside,
            kind=self.kind,
        )

    def start(self) -> TokenMarket:
        """Equal budgets, nothing held back: the rule that tuning starts from."""
        return TokenMarket(np.zeros(len(self.groups)), np.zeros(len(self.goods)), self.study.rule.eps)

    def classics(self) -> dict:
        """The rules people know, by name."""
        travellers = self.study.market.travellers
        queue = np.broadcast_to(np.arange(travellers, 0, -1.0), (len(self.goods) + 1, travellers))
        return {
            INCUMBENT: Averaged(RandomSerialDictatorship(), coins=LOTTERIES),
            "probabilistic serial": ProbabilisticSerial(),
            "Boston, first come first served": Boston(queue),
            "utilitarian (needs true values)": Utilitarian(),
        }

    def demand(self, worlds: Draws) -> np.ndarray:
        """`[goods]`, how many would take each good if seats were free and endless; mean over draws."""
        some = worlds.thin(20)
        shares = np.mean([np.asarray(some.one(i).shares()) for i in range(some.num)], axis=0)  # pyright: ignore
        return shares[: len(self.goods)] * self.study.market.travellers

    def refuse_slack(self, worlds: Draws) -> None:
        """Nothing scarce, nothing to design."""
        wanted = self.demand(worlds)
        if np.all(self.capacity >= wanted + 3 * np.sqrt(wanted)):
            said = ", ".join(
                f"{g} {w:.0f} for {c:g} seats" for g, w, c in zip(self.goods, wanted, self.capacity, strict=True)
            )
            raise StudyError(
                f"`market.capacity` is slack everywhere (expected demand: {said}), so there is nothing to ration. "
                "Lower a capacity, or raise `market.travellers`."
            )


def settle(study: Study, beside: Path) -> Setting:
    """Read the data and make the study concrete.

    Raises:
        StudyError: names and numbers that do not fit the data, by key.
        ValueError: bad data, by file and line.
    """
    d, m = study.data, study.model
    path = study.data_path(beside)
    if not path.is_file():
        raise StudyError(
            f"`data.file`: there is no file {path}; give a path relative to the study, or an absolute one."
        )
    data = ChoiceData.from_long(
        path, situation=d.situation, alternative=d.alternative, choice=d.choice, attributes=list(d.attributes),
        person=d.person, available=d.available, weight=d.weight, missing=d.missing,
    )  # fmt: skip
    model = ConditionalLogit(
        m.attributes, m.interactions, constants=m.constants, base=m.base, numeraire=m.numeraire, unit=m.unit,
        prior_scale=m.prior_scale, population_shares=m.population_shares,
    )  # fmt: skip
    identification.require(model, data)  # as the fit would, but before a run directory is touched
    outside = study.market.outside
    if outside not in data.alternatives:
        raise StudyError(f"`market.outside` is {outside!r}, but the data have {', '.join(data.alternatives)}.")
    goods = tuple(a for a in data.alternatives if a != outside)
    unknown = sorted(set(study.market.capacity) - set(goods))
    missing = [g for g in goods if g not in study.market.capacity]
    if unknown or missing:
        raise StudyError(
            f"`market.capacity` needs one number for each of {', '.join(goods)}"
            + (f"; missing {', '.join(missing)}" if missing else "")
            + (f"; unknown {', '.join(unknown)}" if unknown else "")
            + "."
        )
    capacity = np.array([study.market.capacity[g] for g in goods], float)
    kind, names = _groups(study, data)
    return Setting(study, data, model, goods, capacity, kind, names)


def _groups(study: Study, data: ChoiceData) -> tuple[np.ndarray, tuple[str, ...]]:
    kind, names = np.zeros(data.num_situations, int), ("everybody",)
    weight = _population_weight(study, data)
    for i, group in enumerate(study.market.groups):
        if group.column not in data.columns:
            raise StudyError(
                f"`market.groups.{i}.column` is {group.column!r}; add it to `data.attributes` ({', '.join(data.columns)})."
            )
        values = data.column(group.column)[np.arange(data.num_situations), data.chosen]
        part = np.searchsorted(_cuts(group, values, weight), values, side="left")
        kind = kind * len(group.names) + part
        names = group.names if names == ("everybody",) else tuple(f"{a}, {b}" for a in names for b in group.names)
    empty = [names[k] for k in range(len(names)) if not np.any(kind == k)]
    if empty:
        raise StudyError(f"`market.groups`: nobody in the data is {'; '.join(empty)}. Merge groups or move the cuts.")
    return kind, names


def _population_weight(study: Study, data: ChoiceData) -> np.ndarray:
    shares, weight = study.model.population_shares, np.asarray(data.weight, float)
    if shares is None or set(shares) != set(data.alternatives):
        return weight
    ratio = np.array([shares[a] / max(data.shares[a], 1e-12) for a in data.alternatives])
    return weight * ratio[data.chosen]


def _cuts(group: Group, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    if not group.terciles:
        return np.asarray(group.cuts, float)
    order = np.argsort(values)
    reached = np.cumsum(weight[order]) / weight.sum()
    return np.array([values[order][np.searchsorted(reached, q)] for q in (1 / 3, 2 / 3)])
