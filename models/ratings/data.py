"""What people rated: how much each item was worth to each agent, on a scale that all of them share."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Bool, Float, Int

from .._check import require
from ._attributes import checked, digest, read_attributes
from ._long import read_long
from ._ordinal import ranks_in_disguise, refusal
from ._wide import read_wide

FEWEST = 5  # ratings: with fewer, whatever comes out is the prior


@dataclasses.dataclass(frozen=True, eq=False)
class RatingData:
    r"""Past ratings, `[agents, items]`; read them with `RatingData.from_long` or `from_wide`.

    A rating :math:`x` on the scale from :math:`l` to :math:`h` is the value :math:`(x - l) / (h - l)`: **an item at the
    low end is worth nothing, one at the high end is worth 1.** Fairness and welfare ratios do not depend on the unit of
    values, but they do depend on this zero, and no data can tell it: choose `scale` so that it is true.

    Args:
        ratings: `[agents, items]`, NaN where an agent did not rate an item.
        scale: least and greatest rating one can give. None is (0, 1); with `steps`, half a step beyond the least and the
            greatest of them.
        steps: the ratings one can give where they are a few, ascending, such as `range(1, 6)` for stars; None is any
            number on the scale. A step stands for all values nearest to it.
        agents: names of the agents; None numbers them from 0.
        items: names of the items; None numbers them from 0.
        source: name of the file.
        sha256: hash of the bytes of the file; for arrays, of the arrays.
        attributes: `[items, columns]`, what items are like, where a model asks; see `described`.
        columns: names of the attributes.

    Raises:
        ValueError: fewer than five ratings, all equal, not numbers, outside the scale or between the steps; or ranks in
            disguise: every agent's ratings are 1, ..., k, or all agents gave the same numbers in another order.

    Example:
        >>> data = RatingData([[5, 3, np.nan], [1, 4, 4]], steps=range(1, 6))
        >>> data.num_ratings, data.scale, data.values[0].round(3).tolist()
        (5, (0.5, 5.5), [0.9, 0.5, nan])
    """

    ratings: Any  # lists too; an array of floats once it is built
    scale: Any = None
    steps: Any = None
    agents: Any = None
    items: Any = None
    source: str = "arrays"
    sha256: str = ""
    attributes: Any = None
    columns: Any = ()

    def __post_init__(self):
        ratings = _numbers(self.ratings, self.source)
        steps = None if self.steps is None else _steps(self.steps)
        fields = {
            "ratings": ratings,
            "steps": steps,
            "scale": _scale(steps) if self.scale is None else tuple(float(x) for x in self.scale),
            "agents": _named(self.agents, ratings.shape[0]),
            "items": _named(self.items, ratings.shape[1]),
        }
        fields["attributes"], fields["columns"] = checked(self.attributes, self.columns, ratings.shape[1], self.source)
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        _check(self)
        object.__setattr__(self, "sha256", self.sha256 or _digest(self))

    @classmethod
    def from_long(
        cls,
        frame_or_path: Any,
        *,
        agent: str,
        item: str,
        rating: str,
        scale: Any = None,
        steps: Any = None,
    ) -> "RatingData":
        """Read a long table: one row for each rating, in any order.

        Args:
            frame_or_path: a pandas data frame, a mapping of columns, or the path of a CSV file with a header (also
                compressed, `.csv.gz`) or of a Parquet file (`.parquet`; needs `fairhand[parquet]`).
            agent: column that says who rated. `item`: column that says what. `rating`: column with the number.
            scale: as in `RatingData`. `steps`: the same.

        Returns:
            The data, agents and items in order of first appearance.

        Raises:
            ValueError: one sentence that names the file, the line (or the row's index) or the column, and the cure.

        Example:
            >>> table = {"who": [1, 1, 1, 2, 2], "what": ["a", "b", "c", "a", "b"], "points": [0.2, 0.9, 0.4, 0.6, 0.5]}
            >>> RatingData.from_long(table, agent="who", item="what", rating="points").items
            ('a', 'b', 'c')
        """
        fields = read_long(frame_or_path, agent=agent, item=item, rating=rating)
        return cls(**fields, scale=scale, steps=steps)

    @classmethod
    def from_wide(
        cls,
        frame_or_path: Any,
        *,
        agent: str | None = None,
        items: Sequence[Any] | None = None,
        scale: Any = None,
        steps: Any = None,
    ) -> "RatingData":
        """Read a matrix: one row for each agent, one column for each item, an empty cell where there is no rating.

        Args:
            frame_or_path: as in `from_long`.
            agent: column that says who rated; None takes the index of a data frame.
            items: columns with ratings; None is all but `agent`.
            scale: as in `RatingData`. `steps`: the same.

        Returns:
            The data, in the order of rows and columns.

        Raises:
            ValueError: one sentence that names the file, the line (or the row's index) or the column, and the cure.

        Example:
            >>> table = {"who": ["ann", "bob"], "tea": [0.2, 0.6], "milk": [0.9, None], "water": [0.4, 0.5]}
            >>> RatingData.from_wide(table, agent="who").ratings.tolist()
            [[0.2, 0.9, 0.4], [0.6, nan, 0.5]]
        """
        fields = read_wide(frame_or_path, agent=agent, items=items)
        return cls(**fields, scale=scale, steps=steps)

    def described(self, frame_or_path: Any, *, item: str, columns: Sequence[str]) -> "RatingData":
        """The same ratings with attributes of the items, from a table with a row for each item, in any order.

        Args:
            frame_or_path: as in `from_long`; rows of items that nobody rated are passed over.
            item: column with the names of the items, as in `items`. `columns`: columns with numbers.

        Raises:
            ValueError: one sentence that names the file, the line (or the row's index) or the column, and the cure.

        Example:
            >>> data = RatingData([[0.2, 0.9, 0.4], [0.6, 0.1, 0.5]], items=("tea", "milk", "water"))
            >>> table = {"drink": ["milk", "tea", "water"], "price": [1.0, 2.0, 0.5]}
            >>> data.described(table, item="drink", columns=["price"]).attributes.tolist()
            [[2.0], [1.0], [0.5]]
        """
        labels = (columns,) if isinstance(columns, str) else tuple(columns)
        found = read_attributes(frame_or_path, item=item, columns=labels, items=self.items)
        sha256 = digest(self.sha256, found, labels)
        return dataclasses.replace(self, attributes=found, columns=labels, sha256=sha256)

    @classmethod
    def from_rankings(cls, rankings: Any = None) -> NoReturn:
        """Refuse: orders of items carry no information about a common continuous law.

        Raises:
            ValueError: always, with what to collect instead.
        """
        del rankings
        raise ValueError(refusal("rankings", "these are orders of items, not ratings"))

    @classmethod
    def from_saved(cls, observed: Any, constant: Any, facts: Any) -> "RatingData":
        """The data whose `observed()`, `constant()` and `facts()` these are, arrays by name."""
        agents, items = (tuple(constant[name].astype(str)) for name in ("agent_name", "item_name"))
        ratings = np.full((len(agents), len(items)), np.nan)
        ratings[constant["agent"], constant["item"]] = observed["rating"]
        steps = None if facts["steps"] is None else tuple(facts["steps"])
        origin = (facts["source"], facts["sha256"], constant.get("attributes"), tuple(facts.get("columns", ())))
        return cls(ratings, tuple(facts["scale"]), steps, agents, items, *origin)

    def observed(self) -> dict[str, tuple[Any, np.ndarray]]:
        """The ratings given, agent by agent: name to dimensions and array."""
        return {"rating": ("observation", self.ratings[self.rated])}

    def constant(self) -> dict[str, tuple[Any, np.ndarray]]:
        """Who gave them to what, in the same form."""
        return {
            "agent": ("observation", self.agent),
            "item": ("observation", self.item),
            "agent_name": ("people", np.asarray(self.agents, str)),
            "item_name": ("things", np.asarray(self.items, str)),
            **({"attributes": (("things", "column"), self.attributes)} if self.columns else {}),
        }

    def facts(self) -> dict[str, Any]:
        """Scale and origin, as JSON can hold them."""
        more = {"columns": self.columns} if self.columns else {}
        return {"scale": self.scale, "steps": self.steps, "source": self.source, "sha256": self.sha256} | more

    @property
    def rated(self) -> Bool[np.ndarray, "agents items"]:
        """Where there is a rating."""
        return np.isfinite(self.ratings)

    @property
    def agent(self) -> Int[np.ndarray, " ratings"]:
        """Who gave each rating."""
        return np.nonzero(self.rated)[0]

    @property
    def item(self) -> Int[np.ndarray, " ratings"]:
        """What each rating was for."""
        return np.nonzero(self.rated)[1]

    @property
    def num_ratings(self) -> int:
        """How many ratings were given."""
        return int(self.rated.sum())

    @property
    def width(self) -> float:
        """From the least to the greatest rating one can give."""
        return self.scale[1] - self.scale[0]

    @property
    def values(self) -> Float[np.ndarray, "agents items"]:
        """The ratings as values between 0 and 1, NaN where there is none."""
        return (self.ratings - self.scale[0]) / self.width

    @property
    def cuts(self) -> Float[np.ndarray, " edges"]:
        """Edges, between 0 and 1, of the values that each step stands for; empty without `steps`."""
        if self.steps is None:
            return np.zeros(0)
        steps = np.asarray(self.steps)
        edges = np.concatenate([[self.scale[0]], (steps[1:] + steps[:-1]) / 2, [self.scale[1]]])
        return (edges - self.scale[0]) / self.width

    @property
    def step(self) -> Int[np.ndarray, " ratings"]:
        """Which of `steps` each rating is."""
        require(self.steps is not None, f"{self.source} has no `steps`: its ratings are any numbers on the scale.")
        return np.searchsorted(np.asarray(self.steps), self.ratings[self.rated])


def _numbers(ratings: Any, source: str) -> np.ndarray:
    try:
        found = np.asarray(ratings)
    except ValueError as error:
        raise ValueError(f"{source}: `ratings` must be [agents, items], one row of equal length an agent.") from error
    require(
        found.dtype.kind in "fiu",
        f"{source}: `ratings` must be numbers, NaN where there is none; got {found.dtype}.",
    )
    require(found.ndim == 2, f"{source}: `ratings` must be [agents, items]; got shape {found.shape}.")
    return found.astype(float)


def _steps(steps: Any) -> tuple[float, ...]:
    found = tuple(float(x) for x in steps)
    require(
        len(found) >= 2 and np.all(np.isfinite(found)) and np.all(np.diff(found) > 0),
        f"`steps` must be the ratings one can give, at least two and ascending, such as range(1, 6); got {found}.",
    )
    return found


def _scale(steps: tuple[float, ...] | None) -> tuple[float, float]:
    if steps is None:
        return 0.0, 1.0
    return steps[0] - (steps[1] - steps[0]) / 2, steps[-1] + (steps[-1] - steps[-2]) / 2


def _named(names: Any, size: int) -> tuple[str, ...]:
    return tuple(str(x) for x in (range(size) if names is None else names))


def _check(data: RatingData) -> None:
    name, given = data.source, data.ratings
    for what, names, size in (("agents", data.agents, given.shape[0]), ("items", data.items, given.shape[1])):
        require(len(names) == size, f"{name}: `{what}` must be {size} names; got {len(names)}.")
        twice = [n for i, n in enumerate(names) if n in set(names[:i])] if len(set(names)) < size else []
        require(not twice, f"{name}: `{what}` names {twice[:1]} twice: keep one.")
    require(
        len(data.scale) == 2 and np.all(np.isfinite(data.scale)) and data.scale[0] < data.scale[1],
        f"{name}: `scale` must be the least and the greatest rating one can give; got {data.scale}.",
    )
    where = lambda i: f"the rating of item `{data.items[i[1]]}` by agent `{data.agents[i[0]]}`"
    bad = np.argwhere(np.isinf(given))
    require(len(bad) == 0, f"{name}: {where(bad[0]) if len(bad) else ''} is infinite: correct it, or use NaN for none.")
    ranks = ranks_in_disguise(given)
    require(not ranks, refusal(name, ranks))
    count = data.num_ratings
    require(count >= FEWEST, f"{name} holds too few ratings: {count}, and a law takes at least {FEWEST}; collect more.")
    values = given[data.rated]
    require(
        np.ptp(values) > 0,
        f"{name} is constant: all {count} ratings are {values[0]:g}, so the law would have zero variance; collect ratings "
        "that tell items apart.",
    )
    bad = np.argwhere(data.rated & ((given < data.scale[0]) | (given > data.scale[1])))
    require(
        len(bad) == 0,
        f"{name}: {where(bad[0]) if len(bad) else ''} is {given[tuple(bad[0])] if len(bad) else 0:g}, outside `scale` "
        f"{data.scale}: say `scale=`, the least and the greatest rating one can give, or correct it.",
    )
    if data.steps is not None:
        steps = np.asarray(data.steps)
        require(
            data.scale[0] <= steps[0] and steps[-1] <= data.scale[1],
            f"`steps` from {steps[0]:g} to {steps[-1]:g} leave `scale` {data.scale}: widen the scale.",
        )
        bad = np.argwhere(data.rated & ~np.isin(given, steps))
        require(
            len(bad) == 0,
            f"{name}: {where(bad[0]) if len(bad) else ''} is {given[tuple(bad[0])] if len(bad) else 0:g}, which is not "
            f"one of `steps` {data.steps}: correct it, or leave `steps` out.",
        )


def _digest(data: RatingData) -> str:
    out = hashlib.sha256(repr((data.agents, data.items, data.scale, data.steps)).encode())
    out.update(np.ascontiguousarray(data.ratings, "<f8").tobytes())
    return digest(out.hexdigest(), data.attributes, data.columns) if data.columns else out.hexdigest()
