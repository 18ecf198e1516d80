"""What people ranked: menus they were shown, and which items they put above which."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from .._check import require
from ..weights import copies
from ._checks import check, digest
from ._long import read_long
from ._orders import read_orders
from ._preflib import read_preflib
from ._statistics import statistics


@dataclasses.dataclass(frozen=True, eq=False)
class RankingData:
    """Rankings of items out of stated menus; read them with `from_orders`, `from_long` or `from_preflib`.

    A **ranking** is one list of one person: groups of items, the best first; items of one group are tied. Its **menu** is
    what the person could have listed. Of items on the menu and not on the list, `unranked` says what is known: they are
    all `"below"` the list (a top-k ranking), or the list is `"silent"` about them.

    Args:
        order: `[rankings, places]`, index of the item at each place, the best first; −1 after the last.
        items: names of the items, at least two.
        menu: `[rankings, items]`, which items the person could have listed. It is stated, never guessed.
        unranked: "below" or "silent"; may be left out where every list covers its menu.
        level: `[rankings, places]`, group of each place: 0 for the first group, one more for each next; −1 after the last.
            None is a strict order.
        attributes: `[items, columns]`, or `[rankings, items, columns]` where they differ by person; None is none.
        columns: names of the attributes.
        person: `[rankings]`, index into `people`; None makes every ranking another person's.
        weight: `[rankings]`, 0 or more: by how many people like this one it was given; None is 1. See `models.weights`.
        assigned: `[rankings]`, index of the item that the rule gave, −1 for none; None if that is not known.
        feasible: `[rankings, items]`, which items the person could have had, given everybody else (the cutoffs); None if
            that is not known.
        labels: `[rankings]` names; None numbers them from 0.
        people: `[persons]` names; None numbers them from 0.
        source: name of the file.
        sha256: hash of the bytes of the file; for arrays, of the arrays.

    Raises:
        ValueError: an item twice on a list, an item that is not on the menu, an empty list, a menu of one item, unranked
            items of which nothing is said, shapes that do not fit.

    Example:
        >>> data = RankingData.from_orders([["a", "b"], ["c"]], menu=["a", "b", "c"], unranked="below")
        >>> data.num_rankings, data.order.tolist(), data.rank.tolist()
        (2, [[0, 1], [2, -1]], [[0, 1, -1], [-1, -1, 0]])
    """

    order: Any  # lists too, here and below; arrays once it is built
    items: Any
    menu: Any
    unranked: str | None = None
    level: Any = None
    attributes: Any = None
    columns: Any = ()
    person: Any = None
    weight: Any = None
    assigned: Any = None
    feasible: Any = None
    labels: Any = None
    people: Any = None
    source: str = "arrays"
    sha256: str = ""

    def __post_init__(self):
        order, items = np.asarray(self.order), tuple(str(x) for x in self.items)
        require(order.ndim == 2, f"{self.source}: `order` must be [rankings, places]; got shape {order.shape}.")
        rankings = order.shape[0]
        strict = np.where(order >= 0, np.arange(order.shape[1]), -1)
        person = np.arange(rankings) if self.person is None else np.asarray(self.person)
        fields = {
            "order": order,
            "items": items,
            "menu": np.asarray(self.menu, bool),
            "level": strict if self.level is None else np.asarray(self.level),
            "attributes": np.zeros((len(items), 0)) if self.attributes is None else np.asarray(self.attributes, float),
            "columns": tuple(str(x) for x in self.columns),
            "person": person,
            "weight": np.ones(rankings) if self.weight is None else np.asarray(self.weight, float),
            "assigned": None if self.assigned is None else np.asarray(self.assigned),
            "feasible": None if self.feasible is None else np.asarray(self.feasible, bool),
            "labels": np.arange(rankings) if self.labels is None else np.asarray(self.labels),
            "people": np.arange(person.max(initial=-1) + 1) if self.people is None else np.asarray(self.people),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        check(self)
        object.__setattr__(self, "sha256", self.sha256 or digest(self))

    @classmethod
    def from_orders(
        cls,
        orders: Sequence[Any],
        *,
        menu: Sequence[Any],
        unranked: str | None = None,
        items: Sequence[str] | None = None,
        **more: Any,
    ) -> "RankingData":
        """Read lists of names, the best first; names in an inner list, tuple or set are tied.

        Args:
            orders: one list a ranking, such as `["a", ("b", "c"), "d"]`.
            menu: names of the items shown to everybody, or one such list a ranking.
            unranked: as in `RankingData`.
            items: all items in the order wanted; None is the order in which menus name them.
            **more: other fields of `RankingData`; `assigned` may hold names, None for nothing, and `feasible` lists of names.

        Raises:
            ValueError: one sentence that names the ranking and the cure.

        Example:
            >>> data = RankingData.from_orders([["b", ("a", "c")]], menu=["a", "b", "c"])
            >>> data.level.tolist()
            [[0, 1, 1]]
        """
        return cls(**read_orders(orders, menu=menu, items=items, **more), unranked=unranked)

    @classmethod
    def from_long(
        cls,
        frame_or_path: Any,
        *,
        ranking: str,
        item: str,
        rank: str,
        menu: Any,
        unranked: str | None = None,
        ties: bool = False,
        attributes: Sequence[str] = (),
        person: str | None = None,
        weight: str | None = None,
        assigned: str | None = None,
        feasible: str | None = None,
        items: Sequence[str] | None = None,
    ) -> "RankingData":
        """Read a long table: one row for each ranking and item, in any order.

        Args:
            frame_or_path: a pandas data frame, a mapping of columns, or the path of a table.
            ranking: column that says which rows are one list.
            item: column with the name of the item.
            rank: column with the rank, 1 is best; empty where the item was shown and not ranked.
            menu: "rows" if every item that a person was shown has a row, "all" if everybody was shown all items, or a list
                of the names that everybody was shown.
            unranked: as in `RankingData`.
            ties: whether equal ranks are ties; else they are refused.
            attributes: columns with numbers, of items or of persons and items.
            person: column that says whose list it is; None: every list is another person's.
            weight: column with the weight, the same in all rows of a ranking.
            assigned: column with 1 for the item that the rule gave.
            feasible: column with 1 where the person could have had the item, 0 where not.
            items: names in the order wanted; None is the order of first appearance.

        Raises:
            ValueError: one sentence that names the file, the line (or the row's index) or the column, and the cure.

        Example:
            >>> table = {"who": [1, 1, 1], "what": ["a", "b", "c"], "place": [2, 1, None]}
            >>> data = RankingData.from_long(
            ...     table, ranking="who", item="what", rank="place", menu="rows", unranked="below"
            ... )
            >>> data.order.tolist()
            [[1, 0]]
        """
        fields = read_long(
            frame_or_path, ranking=ranking, item=item, rank=rank, menu=menu, ties=ties, attributes=attributes,
            person=person, weight=weight, assigned=assigned, feasible=feasible, items=items,
        )  # fmt: skip
        return cls(**fields, unranked=unranked)

    @classmethod
    def from_preflib(cls, path: Any, *, menu: str | None = None, unranked: str | None = None) -> "RankingData":
        """Read a PrefLib file of orders: `.soc`, `.soi`, `.toc` or `.toi`, one ranking for each voter.

        Args:
            path: of the file.
            menu: needed where some list is incomplete, since PrefLib does not say what people were shown: "all" if each was
                shown all alternatives, "listed" if each was shown only what they listed.
            unranked: as in `RankingData`; needed with `menu="all"` where some list is incomplete.

        Raises:
            ValueError: one sentence that names the file, the line and the cure.

        Source: N. Mattei and T. Walsh (2013), "PrefLib: A library for preferences", ADT; the format is that of 2022.
        """
        return cls(**read_preflib(path, menu=menu), unranked=unranked)

    @classmethod
    def from_saved(cls, observed: Any, constant: Any, facts: Any) -> "RankingData":
        """The data whose `observed()`, `constant()` and `facts()` these are, arrays by name."""
        assigned, feasible = constant.get("assigned"), constant.get("feasible")
        return cls(
            order=observed["order"],
            items=tuple(facts["items"]),
            menu=constant["menu"].astype(bool),
            unranked=facts["unranked"],
            level=observed["level"],
            attributes=constant["attributes"] if facts["columns"] else None,
            columns=tuple(facts["columns"]),
            person=constant["person"],
            weight=constant["weight"],
            assigned=assigned,
            feasible=None if feasible is None else feasible.astype(bool),
            labels=constant["ranking_name"].astype(str),
            people=constant["person_name"].astype(str),
            source=facts["source"],
            sha256=facts["sha256"],
        )

    def observed(self) -> dict[str, tuple[Any, np.ndarray]]:
        """The lists: name to dimensions and array."""
        return {"order": (("ranking", "place"), self.order), "level": (("ranking", "place"), self.level)}

    def constant(self) -> dict[str, tuple[Any, np.ndarray]]:
        """Menus and what else is taken as given, in the same form."""
        axes = ("ranking", "item")
        found = {
            "menu": (axes, self.menu.astype("int8")),
            "person": ("ranking", self.person),
            "weight": ("ranking", self.weight),
            "ranking_name": ("ranking", np.asarray(self.labels).astype(str)),
            "person_name": ("people", np.asarray(self.people).astype(str)),
        }
        if self.columns:
            found["attributes"] = ((*axes, "column")[-self.attributes.ndim :], self.attributes)
        if self.assigned is not None:
            found["assigned"] = ("ranking", self.assigned)
        if self.feasible is not None:
            found["feasible"] = (axes, self.feasible.astype("int8"))
        return found

    def facts(self) -> dict[str, Any]:
        """Names and origin, as JSON can hold them."""
        names = {"items": self.items, "columns": self.columns, "unranked": self.unranked}
        return {**names, "source": self.source, "sha256": self.sha256}

    @property
    def row(self) -> tuple[str, np.ndarray]:
        """What a row is called, and the name of each, for messages."""
        return "ranking", self.labels

    @property
    def rankings(self) -> np.ndarray:
        """Names of the rankings."""
        return self.labels

    @property
    def num_rankings(self) -> int:
        """How many lists there are."""
        return len(self.order)

    @property
    def rank(self) -> Int[np.ndarray, "rankings items"]:
        """Group of each item, 0 is the best; −1 where it is not on the list."""
        found = np.full(self.menu.shape, -1)
        row, place = np.nonzero(self.order >= 0)
        found[row, self.order[row, place]] = self.level[row, place]
        return found

    @property
    def each_attribute(self) -> Float[np.ndarray, "rankings items columns"]:
        """Attributes by ranking and item, also where they are the same for all."""
        return np.broadcast_to(self.attributes, (*self.menu.shape, len(self.columns)))

    def column(self, name: str) -> Float[np.ndarray, "rankings items"]:
        """One attribute; refuses a name that is not there."""
        require(
            name in self.columns,
            f"{self.source} has no attribute `{name}`: give it as one of `columns`; there are "
            f"{', '.join(f'`{c}`' for c in self.columns) or 'none'}.",
        )
        return self.each_attribute[..., self.columns.index(name)]

    def changed(self, **fields: Any) -> "RankingData":
        """The data with other fields: simulated lists, or a world with other attributes.

        The hash is taken anew, and `source` says that this is not the file.
        """
        source = self.source if self.source.endswith("(changed)") else f"{self.source} (changed)"
        return dataclasses.replace(self, **{"source": source, "sha256": "", **fields})

    def statistics(self) -> dict[str, Any]:
        """What a predictive check compares: name to a function of lists `[draws, rankings, places]`."""
        return statistics(self)

    def expanded(self) -> "RankingData":
        """Each person as many times as they count, with all their rankings: whole weights become people of weight 1."""
        row, person = copies(self)
        every = ("order", "level", "menu", "assigned", "feasible")
        fields = {name: None if getattr(self, name) is None else getattr(self, name)[row] for name in every}
        attributes = self.attributes[row] if self.attributes.ndim == 3 else self.attributes
        return self.changed(attributes=attributes, person=person, people=None, weight=None, labels=None, **fields)
