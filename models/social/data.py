"""Choices between two ways to pay everybody: what was offered, what was taken, and by whom."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._check import real_numbers, require
from ._reading import read_comparisons

_LATER: Any = None  # filled in by `__post_init__`; fields are checked by hand, so that a sentence says what is wrong

#: Columns of the replication files of Bruhin, Fehr and Schunk (2019), for `SocialChoiceData.from_table(path, **COLUMNS_OF_BFS)`.
COLUMNS_OF_BFS: dict[str, Any] = {
    "person": "sid",
    "choice": "choice_x",
    "own": ("self_x", "self_y"),
    "others": ("other_x", "other_y"),
    "kind": "q",
    "unkind": "v",
}


def gaps(payoffs: Any, own: Any = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Own payoff, how far others are richer, and how far they are poorer, each gap averaged over the n − 1 others.

    .. math::
        I^+_i = \tfrac1{n-1}\sum_k (u_k - u_i)^+, \qquad I^-_i = \tfrac1{n-1}\sum_k (u_i - u_k)^+

    Args:
        payoffs: `[situations, options, players]`; NaN where there is no such player.
        own: the player who chooses, an index or `[situations]` of them.

    Returns:
        `own`, `behind` (I+, others are RICHER) and `ahead` (I−), each `[situations, options]`. All 0 without others.

    Source: Fehr and Schmidt (1999), equation 1.

    Example:
        >>> own, behind, ahead = gaps([[[5.0, 9.0, 1.0]]])
        >>> own.item(), behind.item(), ahead.item()
        (5.0, 2.0, 2.0)
    """
    payoffs = real_numbers(payoffs, "payoffs")
    require(payoffs.ndim == 3, f"`payoffs` must be [situations, options, players]; got shape {payoffs.shape}.")
    who = np.broadcast_to(np.asarray(own), payoffs.shape[:1])
    require(
        who.dtype.kind in "iu" and who.size > 0 and who.min() >= 0 and who.max() < payoffs.shape[2],
        f"`own` must be an index of a player, from 0 to {payoffs.shape[2] - 1}.",
    )
    mine = np.take_along_axis(payoffs, who[:, None, None], 2)
    apart = np.where(np.isnan(payoffs), 0.0, payoffs - mine)
    others = np.maximum((~np.isnan(payoffs)).sum(2) - 1, 1)
    return mine[..., 0], np.maximum(apart, 0).sum(2) / others, np.maximum(-apart, 0).sum(2) / others


@dataclasses.dataclass(frozen=True, eq=False)
class SocialChoiceData:
    """Binary comparisons of allocations: in each situation one person takes one of two ways to pay several players.

    Make it with `from_payoffs` from arrays, or with `from_table` from a file. A refusal is an allocation too: accepting
    a share s of a pie in an ultimatum game is the comparison of (s, 1 − s) with (0, 0).

    Args:
        own: `[situations, 2]`, what the person who chooses gets under each option, in `unit`.
        behind: `[situations, 2]`, I+: by how much the others are RICHER, averaged over them.
        ahead: `[situations, 2]`, I−: by how much they are poorer.
        chosen: `[situations]`, 0 for the first option, 1 for the second.
        kind: `[situations]`, 1 where the other player has been kind before, else 0 (q of Bruhin, Fehr and Schunk).
        unkind: `[situations]`, the same of an unkind act (v).
        person: `[situations]`, index into `people`; None makes every situation another person.
        situations, people: names; None numbers them from 0.
        unit: what payoffs are measured in.
        source: name of the file. `sha256`: of its bytes where all of it was taken, else of the arrays.

    Raises:
        ValueError: no situation, a shape that does not fit, a NaN, a negative gap, a choice that is neither 0 nor 1.

    Example:
        >>> data = SocialChoiceData.from_payoffs([[[10.0, 0.0], [5.0, 5.0]]], [1])
        >>> data.behind.tolist(), data.ahead.tolist()
        ([[0.0, 0.0]], [[10.0, 0.0]])
    """

    own: Any
    behind: Any
    ahead: Any
    chosen: Any
    kind: Any = _LATER
    unkind: Any = _LATER
    person: Any = _LATER
    situations: Any = _LATER
    people: Any = _LATER
    unit: str = "points"
    source: str = "arrays"
    sha256: str = ""

    #: Names of the two options.
    alternatives = ("first", "second")

    def __post_init__(self):
        size = (*real_numbers(self.own, "own").shape, 0)[0]
        person = np.arange(size) if self.person is None else np.asarray(self.person)
        number = lambda name: np.zeros(size) if getattr(self, name) is None else real_numbers(getattr(self, name), name)
        fields = {
            **{name: real_numbers(getattr(self, name), name) for name in ("own", "behind", "ahead")},
            "chosen": np.asarray(self.chosen),
            "kind": number("kind"),
            "unkind": number("unkind"),
            "person": person,
            "situations": np.arange(size) if self.situations is None else np.asarray(self.situations),
            "people": np.arange(person.max(initial=-1) + 1) if self.people is None else np.asarray(self.people),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        _check(self)
        object.__setattr__(self, "sha256", self.sha256 or _digest(self))

    @classmethod
    def from_payoffs(cls, payoffs: Any, chosen: Any, *, own: Any = 0, **fields: Any) -> "SocialChoiceData":
        """Comparisons out of what everybody would get.

        Args:
            payoffs: `[situations, 2, players]`, in `unit`; NaN where a situation has fewer players.
            chosen: `[situations]`, 0 or 1. `own`: which player chooses, an index or `[situations]`.
            **fields: `kind`, `unkind`, `person`, `situations`, `people`, `unit`, `source`, as in the class.

        Raises:
            ValueError: as the class; a payoff that is not finite; nobody but the person who chooses.
        """
        payoffs = real_numbers(payoffs, "payoffs")
        require(
            payoffs.ndim == 3 and payoffs.shape[1] == 2,
            f"`payoffs` must be [situations, 2 options, players]; got shape {payoffs.shape}.",
        )
        require(len(payoffs) > 0, "`payoffs` is empty: give at least one situation.")
        there = ~np.isnan(payoffs)
        require(not np.isinf(payoffs).any(), "`payoffs` must be finite, NaN where there is no such player.")
        require(
            np.array_equal(there[:, 0], there[:, 1]) and there.any(2).all() and there[:, 0].sum(1).min() >= 2,
            "`payoffs` must have, in each situation, the same players in both options, and at least two of them.",
        )
        mine, behind, ahead = gaps(payoffs, own)
        require(np.isfinite(mine).all(), "`own` names a player whose payoff is NaN: name one who is there.")
        return cls(own=mine, behind=behind, ahead=ahead, chosen=np.asarray(chosen), **fields)

    @classmethod
    def from_table(
        cls,
        frame_or_path: Any,
        *,
        choice: str,
        own: Sequence[str],
        others: Sequence[Any],
        person: str | None = None,
        kind: str | None = None,
        unkind: str | None = None,
        without: Any = (),
        unit: str = "points",
    ) -> "SocialChoiceData":
        """Read a table with one row for each comparison.

        Args:
            frame_or_path: a pandas data frame, a mapping of columns, or the path of a CSV or Parquet file with a header.
            choice: column with 1 where the first option was taken and 0 where the second was.
            own: the two columns with what the person who chooses gets, first option first.
            others: for each of the two options the column, or list of columns, with what the others get.
            person: column that says who chose; None: every row is another person.
            kind, unkind: columns with 1 where the other player has been kind, or unkind, and 0 elsewhere.
            without: people to leave out, as the column `person` names them.
            unit: what payoffs are measured in.

        Raises:
            ValueError: one sentence that names the file, the line (or the row's index) or the column, and the cure.

        Example:
            >>> table = {"who": ["ann", "bob"], "took_x": [1, 0], "self_x": [8, 8], "self_y": [5, 5]}
            >>> table |= {"other_x": [2, 2], "other_y": [5, 5]}
            >>> data = SocialChoiceData.from_table(
            ...     table, person="who", choice="took_x", own=("self_x", "self_y"), others=("other_x", "other_y")
            ... )
            >>> data.chosen.tolist(), data.people.tolist()
            ([0, 1], ['ann', 'bob'])
        """
        fields = read_comparisons(
            frame_or_path, choice=choice, own=own, others=others, person=person, kind=kind, unkind=unkind,
            without=without,
        )  # fmt: skip
        return cls.from_payoffs(fields.pop("payoffs"), fields.pop("chosen"), unit=unit, **fields)

    @classmethod
    def from_saved(cls, observed: Any, constant: Any, facts: Any) -> "SocialChoiceData":
        """The data whose `observed()`, `constant()` and `facts()` these are, arrays by name."""
        arrays = {name: constant[name] for name in ("own", "behind", "ahead", "kind", "unkind", "person")}
        names = {"situations": constant["situation_name"].astype(str), "people": constant["person_name"].astype(str)}
        origin = {name: facts[name] for name in ("unit", "source", "sha256")}
        return cls(chosen=observed["chosen"], **arrays, **names, **origin)

    def observed(self) -> dict[str, tuple[Any, np.ndarray]]:
        """The choices: name to dimensions and array."""
        return {"chosen": ("situation", np.asarray(self.chosen))}

    def constant(self) -> dict[str, tuple[Any, np.ndarray]]:
        """What they were choices between, in the same form."""
        pairs = {name: (("situation", "alternative"), getattr(self, name)) for name in ("own", "behind", "ahead")}
        single = {name: ("situation", getattr(self, name)) for name in ("kind", "unkind", "person")}
        return {
            **pairs,
            **single,
            "situation_name": ("situation", np.asarray(self.situations).astype(str)),
            "person_name": ("people", np.asarray(self.people).astype(str)),
        }

    def facts(self) -> dict[str, Any]:
        """Unit and origin, as JSON can hold them."""
        return {"unit": self.unit, "source": self.source, "sha256": self.sha256}

    @property
    def num_situations(self) -> int:
        """How many choices were made."""
        return len(self.chosen)

    @property
    def scale(self) -> float:
        """Root mean square of the difference in own payoff between the two options, in `unit`; 1 if there is none."""
        size = float(np.sqrt(np.mean((self.own[:, 0] - self.own[:, 1]) ** 2)))
        return size if size > 0 else 1.0

    @property
    def plain(self) -> np.ndarray:
        """`[situations]`, where no act of the other player came before: dictator games."""
        return (self.kind == 0) & (self.unkind == 0)

    def where(self, keep: Any) -> "SocialChoiceData":
        """The situations that `keep` `[situations]` says, and the people who have any: `data.where(data.plain)`."""
        keep = np.asarray(keep)
        require(
            keep.dtype == bool and keep.shape == self.chosen.shape,
            f"`keep` must be true or false for each of {self.num_situations} situations; got shape {keep.shape}.",
        )
        require(keep.any(), "`keep` leaves no situation: keep at least one.")
        seen, person = np.unique(self.person[keep], return_inverse=True)
        rows = ("own", "behind", "ahead", "chosen", "kind", "unkind", "situations")
        return self.changed(**{n: getattr(self, n)[keep] for n in rows}, person=person, people=self.people[seen])

    def changed(self, **fields: Any) -> "SocialChoiceData":
        """The data with other fields, such as simulated choices; the hash is taken anew, and `source` says so."""
        source = self.source if self.source.endswith("(changed)") else f"{self.source} (changed)"
        return dataclasses.replace(self, **{"source": source, "sha256": "", **fields})

    def statistics(self) -> dict[str, Callable[[Any], Any]]:
        """What `check` compares: how often people take what pays them more, by position, and how far they differ."""
        more = (self.own[:, 1] > self.own[:, 0]).astype(int)
        asked = self.own[:, 0] != self.own[:, 1]
        found = {"takes more": _share(more, asked)}
        for name, gap, other in (("behind", self.behind, self.ahead), ("ahead", self.ahead, self.behind)):
            found[f"takes more | {name}"] = _share(more, asked & (gap > 0).all(1) & (other == 0).all(1))
        for name in ("kind", "unkind"):
            found[f"takes more | {name}"] = _share(more, asked & (getattr(self, name) > 0))
        found = {name: f for name, f in found.items() if f is not None}
        rows = np.flatnonzero(asked)
        rows = rows[np.argsort(self.person[rows], kind="stable")]
        starts = np.flatnonzero(np.diff(self.person[rows], prepend=-1))
        if len(starts) > 1:
            times = np.diff(starts, append=len(rows))
            own = lambda y: np.add.reduceat((np.asarray(y)[..., rows] == more[rows]).astype(float), starts, -1) / times
            found["sd of people"] = lambda y: own(y).std(-1)
        return found


def _share(more: np.ndarray, rows: np.ndarray) -> Any:
    at = np.flatnonzero(rows)
    return (lambda y: (np.asarray(y)[..., at] == more[at]).mean(-1)) if len(at) else None


def _check(data: SocialChoiceData) -> None:
    name, size = data.source, (*np.shape(data.own), 0)[0]
    require(size > 0, f"{name} is empty: give at least one situation.")
    for field in ("own", "behind", "ahead"):
        got = np.shape(getattr(data, field))
        require(got == (size, 2), f"{name}: `{field}` must be [{size} situations, 2 options]; got shape {got}.")
    for field in ("chosen", "kind", "unkind", "person", "situations"):
        got = np.shape(getattr(data, field))
        require(
            got == (size,), f"{name}: `{field}` must have one entry for each of {size} situations; got shape {got}."
        )
    for field in ("chosen", "person"):
        kind = getattr(data, field).dtype
        require(kind.kind in "iu", f"{name}: `{field}` must be whole numbers, got {kind}.")
    for field in ("own", "behind", "ahead", "kind", "unkind"):
        finite = np.isfinite(getattr(data, field)).reshape(size, -1).all(1)
        at = data.situations[(~finite).argmax()]
        require(finite.all(), f"{name}: `{field}` of situation {at} is not finite: correct it or drop the situation.")
    for field in ("behind", "ahead"):
        positive = (getattr(data, field) >= 0).all(1)
        at = data.situations[(~positive).argmax()]
        require(positive.all(), f"{name}: `{field}` of situation {at} is negative: a gap is 0 or more.")
    for field, what in (
        ("chosen", "0 for the first option, 1 for the second"),
        ("kind", "0 or 1"),
        ("unkind", "0 or 1"),
    ):
        fits = np.isin(getattr(data, field), (0, 1))
        at = data.situations[(~fits).argmax()]
        require(fits.all(), f"{name}: `{field}` of situation {at} must be {what}.")
    require(
        data.person.min() >= 0 and data.person.max() < len(data.people),
        f"{name}: `person` must be indices from 0 to {len(data.people) - 1}, into `people`.",
    )


def _digest(data: SocialChoiceData) -> str:
    out = hashlib.sha256(data.unit.encode())
    for field, kind in zip(
        ("own", "behind", "ahead", "chosen", "kind", "unkind", "person"), ["<f8"] * 3 + ["<i8"] + ["<f8"] * 2 + ["<i8"],
        strict=True,
    ):  # fmt: skip
        out.update(np.ascontiguousarray(getattr(data, field), kind).tobytes())
    return out.hexdigest()
