"""Aversion that was elicited and not estimated: a table with α and β by person."""

import dataclasses
from typing import Any

import numpy as np

from .._check import require
from .._table import check_columns, load, names
from ..population import Population
from ..supply import AbstractSupply, Items
from ._reading import column


@dataclasses.dataclass(frozen=True, eq=False)
class Traits:
    """Fehr and Schmidt's α and β of named people, as an experiment elicited them. Read them with `Traits.read`.

    Args:
        people: `[people]` names.
        alpha: `[people]`, aversion to being behind; negative for who likes others to be richer; NaN: no answer.
        beta: `[people]`, aversion to being ahead.
        source: name of the file. `sha256`: of its bytes.

    Example:
        >>> found = Traits.read({"who": ["ann", "bob"], "a": [0.4, -0.1], "b": [0.2, None]}, person="who", alpha="a", beta="b")
        >>> found.alpha.tolist(), found.of(["bob"]).people.tolist()
        ([0.4, -0.1], ['bob'])
    """

    people: Any
    alpha: Any
    beta: Any
    source: str = "arrays"
    sha256: str = ""

    def __post_init__(self):
        people = np.asarray(self.people)
        object.__setattr__(self, "people", people)
        for name in ("alpha", "beta"):
            x = np.asarray(getattr(self, name), float)
            require(
                x.shape == people.shape and people.ndim == 1 and not np.isinf(x).any(),
                f"`{name}` must be a finite number, or NaN, for each of the people {people.shape}; got shape {x.shape}.",
            )
            object.__setattr__(self, name, x)

    @classmethod
    def read(cls, frame_or_path: Any, *, person: str, alpha: str, beta: str) -> "Traits":
        """Read a table with one row for each person.

        Args:
            frame_or_path: a pandas data frame, a mapping of columns, or the path of a CSV or Parquet file with a header.
            person, alpha, beta: the columns. An empty `alpha` or `beta` becomes NaN, did not answer.

        Raises:
            ValueError: one sentence that names the file, the line (or the row's index) or the column, and the cure.
        """
        table = load(frame_or_path, "person")
        check_columns(table, (person, alpha, beta), "person")
        gap = table.frame[person].isna().to_numpy()
        require(not gap.any(), f"{table.at(gap.argmax())}: column `{person}` is empty: fill it in or drop the row.")
        who = names(table.frame[person])
        first = {name: i for i, name in reversed(list(enumerate(who)))}
        again = np.array([first[name] != i for i, name in enumerate(who)])
        require(not again.any(), f"{table.at(again.argmax())}: `{who[again.argmax()]}` appears twice: keep one row.")
        weights = {name: column(table, c, empty=True) for name, c in (("alpha", alpha), ("beta", beta))}
        return cls(who.astype(str), **weights, source=table.source, sha256=table.sha256)

    def of(self, people: Any) -> "Traits":
        """Those of these people, in this order; refuses a name that is not there."""
        where = {str(name): i for i, name in enumerate(self.people)}
        absent = [str(p) for p in people if str(p) not in where]
        require(not absent, f"`people` names {absent[:3]}, who are not in {self.source}.")
        at = np.array([where[str(p)] for p in people], int)
        return dataclasses.replace(self, people=self.people[at], alpha=self.alpha[at], beta=self.beta[at])

    def population(self, values: Any, *, supply: AbstractSupply | None = None, unit: str = "utils") -> Population:
        """These people as agents, with what items are worth to them.

        Args:
            values: `[people, items]`, in `unit`. `supply`: what there is to share; `Items()` by default.

        Raises:
            ValueError: not one row for each person.
        """
        values = np.asarray(values, float)
        require(
            values.ndim >= 2 and values.shape[-2] == len(self.people),
            f"`values` must have a row for each of the {len(self.people)} people; got shape {values.shape}.",
        )
        return Population(values, supply or Items(), alpha=self.alpha, beta=self.beta, unit=unit)
