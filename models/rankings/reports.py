"""What a list says about its author: assumptions on how reports were made, each of which makes comparisons of them.

People who list for a rule may leave out what they cannot get, or order with an eye on their chances. What can be learned
then depends on what is assumed, so every model of rankings has a field `reports`, says in every result what it holds, and
`fairhand.stress` fits the others.

.. code-block:: text

    Truthful     the list is the top of the true order; who left an item of the menu out likes it less
    Undominated  only the order among the listed items is true
    Stable       only the outcome counts: one got one's favourite among all one could have had
"""

import abc
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Int

from .._check import require
from .data import RankingData

TRUTHFUL_RULES = (
    "DeferredAcceptance",
    "RandomSerialDictatorship",
    "SerialDictatorship",
    "TopTradingCycles",
)
_UNKNOWN = "nothing was said of how the lists were used"


class AbstractReports(abc.ABC):
    """An assumption on reports: it turns rankings into comparisons that are taken as true."""

    @abc.abstractmethod
    def levels(self, data: RankingData) -> Int[np.ndarray, "rankings items"]:
        """Groups of items, 0 the best: all of one group are worth more than all of later groups; −1 is not compared."""

    @property
    @abc.abstractmethod
    def sentence(self) -> str:
        """The assumption, as every result prints it."""

    def check(self, data: RankingData) -> tuple[str, ...]:
        """Notes on data that do not sit well with the assumption; a `ValueError` where they cannot be read by it."""
        del data
        return ()

    @property
    def name(self) -> str:
        """What tables call it."""
        return type(self).__name__

    def to_spec(self) -> dict[str, Any]:
        """As JSON can hold it; `reports_from_spec` reads it."""
        return {"reports": type(self).__name__, **{f.name: getattr(self, f.name) for f in fields(self)}}  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Truthful(AbstractReports):
    """Lists are true: the top of one's order over the menu.

    Items of the menu that were left out are worse than all that are listed, if the data say so (`unranked="below"`).

    Args:
        rule: the rule the lists were made for, one that makes truth a dominant strategy: its name
            ("DeferredAcceptance", "SerialDictatorship", "RandomSerialDictatorship" or "TopTradingCycles"), or any rule
            with a promise "DSIC". To assume truth without such a rule, say why: `Truthful.assumed("a survey")`.

    Raises:
        ValueError: the rule promises no truthfulness, as the Boston mechanism does not.

    Source: L. Dubins and D. Freedman (1981), A. Roth (1982) for deferred acceptance. Where the length of lists is limited it
    is not truthful any more: G. Haeringer and F. Klijn (2009), "Constrained school choice", JET 144.

    Example:
        >>> print(Truthful("Deferred acceptance").sentence)
        Assumed: lists are truthful, as the rule DeferredAcceptance promises (DSIC).
    """

    rule: Any = ""
    why: str = ""

    def __post_init__(self):
        if self.why:
            require(not self.rule, "`rule` and `why` are both given: a rule that promises truth needs no excuse.")
            return
        rule = self.rule
        require(
            bool(rule),
            '`rule` is missing: name the rule that the lists were made for, or say `Truthful.assumed("why")`.',
        )
        cure = 'take `Undominated()` or `Stable()`, or say `Truthful.assumed("why")`.'
        if isinstance(rule, str):
            known = {_plain(name): name for name in TRUTHFUL_RULES}
            require(
                _plain(rule) in known,
                f"`rule` {rule!r} is not known to promise truthfulness; {', '.join(TRUTHFUL_RULES)} are (a rule of your own "
                f"is given as an object with its promises): {cure}",
            )
            object.__setattr__(self, "rule", known[_plain(rule)])
            return
        name = type(rule).__name__
        made = [getattr(p, "name", type(p).__name__) for p in getattr(rule, "promises", ())]
        require(
            "DSIC" in made,
            f"`rule` {name} does not promise that truth is a dominant strategy (it promises {', '.join(made) or 'nothing'}): "
            f"{cure}",
        )
        object.__setattr__(self, "rule", name)

    @classmethod
    def assumed(cls, why: str) -> "Truthful":
        """Take lists as true without a rule that makes them so, for a stated reason.

        Example:
            >>> print(Truthful.assumed("nothing was at stake").sentence)
            Assumed: lists are truthful, because nothing was at stake.
        """
        require(bool(why.strip()), "`why` is empty: say in a few words why the lists should be true.")
        return cls(why=why.strip())

    def levels(self, data: RankingData) -> Int[np.ndarray, "rankings items"]:
        if data.unranked != "below":
            return data.rank
        return np.where(data.menu & (data.rank < 0), data.level.max(1, keepdims=True) + 1, data.rank)

    @property
    def sentence(self) -> str:
        if self.why:
            return f"Assumed: lists are truthful, because {self.why}."
        return f"Assumed: lists are truthful, as the rule {self.rule} promises (DSIC)."

    def check(self, data: RankingData) -> tuple[str, ...]:
        short = int(((data.rank >= 0).sum(1) < data.menu.sum(1)).sum())
        if self.rule and short and data.unranked == "below":
            return (
                f"{short} of {data.num_rankings} lists are shorter than their menu: if their length was limited, or leaving "
                "out hopeless items costs nothing, the rule no longer makes them truthful; see `fairhand.stress`.",
            )
        return ()


@dataclass(frozen=True)
class Undominated(AbstractReports):
    """Only the order among the listed items is true; what was left out may be better or worse.

    To swap two listed items is dominated under the common rules, to leave out what one will not get is not.

    Source: G. Haeringer and F. Klijn (2009), "Constrained school choice", JET 144; G. Fack, J. Grenet and
    Y. He (2019), "Beyond truth-telling", AER 109.

    Example:
        >>> data = RankingData.from_orders([["b"], ["c", "a"]], menu=["a", "b", "c"], unranked="below")
        >>> Undominated().levels(data).tolist()
        [[-1, 0, -1], [1, -1, 0]]
    """

    def levels(self, data: RankingData) -> Int[np.ndarray, "rankings items"]:
        return data.rank

    @property
    def sentence(self) -> str:
        return "Assumed: only the order among listed items is true (undominated reports); omissions say nothing."


@dataclass(frozen=True)
class Stable(AbstractReports):
    """Only the outcome counts: what one was assigned is one's favourite among all that one could have had.

    It takes `assigned` and `feasible` in the data. Those who were assigned nothing say nothing; make going without an item
    of the menu where it is a choice.

    Source: G. Fack, J. Grenet and Y. He (2019), "Beyond truth-telling: preference estimation with centralized school choice
    and college admissions", AER 109.

    Example:
        >>> data = RankingData.from_orders(
        ...     [["b"]], menu=["a", "b", "c"], unranked="below", assigned=["b"], feasible=[["b", "c"]]
        ... )
        >>> Stable().levels(data).tolist()
        [[-1, 0, 1]]
    """

    def levels(self, data: RankingData) -> Int[np.ndarray, "rankings items"]:
        _needs_outcome(data)
        given = np.asarray(data.assigned)
        got = np.arange(len(data.items)) == given[:, None]
        return np.where(got, 0, np.where(np.asarray(data.feasible) & data.menu & (given >= 0)[:, None], 1, -1))

    @property
    def sentence(self) -> str:
        return (
            "Assumed: the outcome is stable (everybody got their favourite of what was feasible); lists are not used."
        )

    def check(self, data: RankingData) -> tuple[str, ...]:
        _needs_outcome(data)
        without = int((np.asarray(data.assigned) < 0).sum())
        return (f"{without} of {data.num_rankings} were assigned nothing and say nothing.",) if without else ()


UNSAID = Truthful.assumed(_UNKNOWN)
_KINDS: dict[str, type] = {kind.__name__: kind for kind in (Truthful, Undominated, Stable)}


def reports_from_spec(spec: Mapping[str, Any]) -> AbstractReports:
    """The assumption that `to_spec` wrote."""
    given = dict(spec)
    name = given.pop("reports", None)
    require(name in _KINDS, f"`reports` {name!r} is none of {', '.join(_KINDS)}.")
    if name == "Truthful" and given.get("rule"):
        found = Truthful.assumed("a file says so")  # the rule was judged when it was at hand; its name is enough here
        object.__setattr__(found, "rule", str(given["rule"]))
        object.__setattr__(found, "why", "")
        return found
    return _KINDS[name](**given)


def as_reports(reports: Any) -> AbstractReports:
    """The field of a model: an assumption, or what `to_spec` wrote of one."""
    if isinstance(reports, Mapping):
        return reports_from_spec(reports)
    require(
        isinstance(reports, AbstractReports),
        f"`reports` must be `Truthful(rule)`, `Undominated()` or `Stable()`, got {reports!r}.",
    )
    return reports


def notes_of(reports: AbstractReports, data: RankingData) -> tuple[str, ...]:
    """What every result prints of the assumption."""
    return (reports.sentence, *reports.check(data))


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _needs_outcome(data: RankingData) -> None:
    for field in ("assigned", "feasible"):
        require(
            getattr(data, field) is not None,
            f"{data.source} has no `{field}`, which `Stable()` needs: give the item each person got and those they could "
            "have had, or take another assumption.",
        )
