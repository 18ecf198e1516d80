"""What people chose: situations, the alternatives they offered, and the one that was taken."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from .._check import require
from ..weights import copies
from ._long import read_long

_LATER: Any = None  # filled in by `__post_init__`


@dataclasses.dataclass(frozen=True, eq=False)
class ChoiceData:
    """Choices among a few named alternatives, as arrays; read them from a long table with `ChoiceData.from_long`.

    A **situation** is one choice of one person. An alternative that could not be chosen has `available` False; its
    attributes are then 0 and are never used.

    Args:
        attributes: `[situations, alternatives, columns]`, in the units of the table.
        chosen: `[situations]`, index of the alternative taken.
        alternatives: their names, at least two.
        columns: names of the attributes.
        available: `[situations, alternatives]`; None is all.
        person: `[situations]`, index into `people`; None makes every situation another person.
        weight: `[situations]`, sampling weight, 0 or more: how many people like this one; None is 1. See `models.weights`.
        situations: `[situations]` names; None numbers them from 0.
        people: `[persons]` names; None numbers them from 0.
        source: name of the file.
        sha256: hash of the bytes of the file, which `sha256sum` prints too; for arrays, of the arrays.

    Raises:
        ValueError: a shape that does not fit, a NaN, a choice that was not available, a bad weight.

    Example:
        >>> data = ChoiceData(np.array([[[1.0], [2.0]]]), np.array([0]), ("bus", "car"), ("cost",))
        >>> data.num_situations, data.shares
        (1, {'bus': 1.0, 'car': 0.0})
    """

    attributes: Float[np.ndarray, "situations alternatives columns"]
    chosen: Int[np.ndarray, " situations"]
    alternatives: tuple[str, ...]
    columns: tuple[str, ...]
    available: Bool[np.ndarray, "situations alternatives"] = _LATER
    person: Int[np.ndarray, " situations"] = _LATER
    weight: Float[np.ndarray, " situations"] = _LATER
    situations: np.ndarray = _LATER
    people: np.ndarray = _LATER
    source: str = "arrays"
    sha256: str = ""

    def __post_init__(self):
        shape = (*np.shape(self.attributes), 0, 0)[:2]
        person = np.arange(shape[0]) if self.person is None else np.asarray(self.person)
        fields = {
            "attributes": np.asarray(self.attributes, float),
            "chosen": np.asarray(self.chosen),
            "alternatives": tuple(self.alternatives),
            "columns": tuple(self.columns),
            "available": np.ones(shape[:2], bool) if self.available is None else np.asarray(self.available, bool),
            "person": person,
            "weight": np.ones(shape[0]) if self.weight is None else np.asarray(self.weight, float),
            "situations": np.arange(shape[0]) if self.situations is None else np.asarray(self.situations),
            "people": np.arange(person.max(initial=-1) + 1) if self.people is None else np.asarray(self.people),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        _check(self)
        object.__setattr__(self, "sha256", self.sha256 or _digest(self))

    @classmethod
    def from_long(
        cls,
        frame_or_path: Any,
        *,
        situation: str,
        alternative: str,
        choice: str,
        attributes: Sequence[str],
        person: str | None = None,
        available: str | None = None,
        weight: str | None = None,
        missing: str = "error",
        alternatives: Sequence[str] | None = None,
    ) -> "ChoiceData":
        """Read a long table: one row for each situation and alternative, in any order.

        Args:
            frame_or_path: a pandas data frame, a mapping of columns, or the path of a CSV file with a header (also
                compressed, `.csv.gz`) or of a Parquet file (`.parquet`; needs `fairhand[parquet]`).
            situation: column that says which rows are one choice.
            alternative: column with the name of the alternative.
            choice: column with 1 for the alternative taken and 0 for the others.
            attributes: columns with numbers, of alternatives (a cost) or of people (an income).
            person: column that says who chose, for panels; None: every situation is another person.
            available: column with 1 where the alternative could be chosen, 0 where not.
            weight: column with the sampling weight, the same in all rows of a situation.
            missing: "error" refuses a situation without a row for some alternative; "unavailable" takes it that this
                alternative could not be chosen.
            alternatives: names in the order wanted; None is the order of first appearance.

        Returns:
            The data, situations in order of first appearance.

        Raises:
            ValueError: one sentence that names the file, the line (or the row's index) or the column, and the cure.

        Example:
            >>> table = {"trip": [1, 1], "mode": ["bus", "car"], "taken": [0, 1], "cost": [2.0, 5.0]}
            >>> data = ChoiceData.from_long(
            ...     table, situation="trip", alternative="mode", choice="taken", attributes=["cost"]
            ... )
            >>> data.alternatives[data.chosen[0]]
            'car'
        """
        fields = read_long(
            frame_or_path,
            situation=situation,
            alternative=alternative,
            choice=choice,
            attributes=attributes,
            person=person,
            available=available,
            weight=weight,
            missing=missing,
            alternatives=alternatives,
        )
        return cls(**fields)

    @classmethod
    def from_saved(cls, observed: Any, constant: Any, facts: Any) -> "ChoiceData":
        """The data whose `observed()`, `constant()` and `facts()` these are, arrays by name."""
        return cls(
            attributes=constant["attributes"],
            chosen=observed["chosen"],
            alternatives=tuple(facts["alternatives"]),
            columns=tuple(facts["columns"]),
            available=constant["available"].astype(bool),
            person=constant["person"],
            weight=constant["weight"],
            situations=constant["situation_name"].astype(str),
            people=constant["person_name"].astype(str),
            source=facts["source"],
            sha256=facts["sha256"],
        )

    def observed(self) -> dict[str, tuple[Any, np.ndarray]]:
        """The choices: name to dimensions and array."""
        return {"chosen": ("situation", np.asarray(self.chosen))}

    def constant(self) -> dict[str, tuple[Any, np.ndarray]]:
        """What they were choices among, in the same form."""
        axes = ("situation", "alternative")
        return {
            "attributes": ((*axes, "column"), self.attributes),
            "available": (axes, self.available.astype("int8")),
            "person": ("situation", self.person),
            "weight": ("situation", self.weight),
            "situation_name": ("situation", np.asarray(self.situations).astype(str)),
            "person_name": ("people", np.asarray(self.people).astype(str)),
        }

    def facts(self) -> dict[str, Any]:
        """Names and origin, as JSON can hold them."""
        names = {"alternatives": self.alternatives, "columns": self.columns}
        return {**names, "source": self.source, "sha256": self.sha256}

    @property
    def row(self) -> tuple[str, np.ndarray]:
        """What a row is called, and the name of each, for messages."""
        return "situation", self.situations

    @property
    def num_situations(self) -> int:
        """How many choices were made."""
        return len(self.chosen)

    @property
    def effective_size(self) -> float:
        r"""Kish's effective sample size, :math:`(\sum w)^2 / \sum w^2`."""
        return float(self.weight.sum() ** 2 / np.sum(self.weight**2))

    @property
    def shares(self) -> dict[str, float]:
        """Share of the choices that fell on each alternative, weighted."""
        count = np.bincount(self.chosen, self.weight, len(self.alternatives))
        return dict(zip(self.alternatives, (count / count.sum()).tolist(), strict=True))

    def column(self, name: str) -> Float[Any, "situations alternatives"]:
        """One attribute, NumPy's or traced as `attributes` are; refuses a name that is not there."""
        require(
            name in self.columns,
            f"{self.source} has no attribute `{name}`: name it in `attributes` when reading; there are "
            f"{', '.join(f'`{c}`' for c in self.columns)}.",
        )
        return self.attributes[..., self.columns.index(name)]

    def changed(self, **fields: Any) -> "ChoiceData":
        """The data with other `chosen`, `attributes` or `weight`: simulated choices, or a world with other costs.

        The hash is taken anew, and `source` says that this is not the file.
        """
        source = self.source if self.source.endswith("(changed)") else f"{self.source} (changed)"
        return dataclasses.replace(self, **{"source": source, "sha256": "", **fields})

    def expanded(self) -> "ChoiceData":
        """As many people as each weight says, with all their choices: whole weights become people of weight 1."""
        row, person = copies(self)
        fields = {name: getattr(self, name)[row] for name in ("attributes", "chosen", "available")}
        fields |= {"person": person, "people": np.unique(person), "weight": np.ones(len(row))}
        return self.changed(**fields, situations=np.arange(len(row)))


def _check(data: ChoiceData) -> None:
    shape, name = np.shape(data.attributes), data.source
    require(
        len(shape) == 3 and shape[1:] == (len(data.alternatives), len(data.columns)),
        f"{name}: `attributes` must be [situations, {len(data.alternatives)} alternatives, "
        f"{len(data.columns)} columns]; got shape {shape}.",
    )
    require(shape[0] > 0, f"{name} is empty: give at least one situation.")
    require(
        len(data.alternatives) >= 2,
        f"{name} has the single alternative {list(data.alternatives)}: a choice needs at least two.",
    )
    for what, names in (("alternative", data.alternatives), ("column", data.columns)):
        twice = [n for i, n in enumerate(names) if n in names[:i]]
        require(not twice, f"{name}: {what} {twice[:1]} is named twice: keep one.")
    for field in ("chosen", "person"):
        kind = getattr(data, field).dtype
        require(kind.kind in "iu", f"{name}: `{field}` must be whole numbers, got {kind}.")
    for field, want in (("chosen", 1), ("person", 1), ("weight", 1), ("situations", 1), ("available", 2)):
        got = np.shape(getattr(data, field))
        require(got == shape[:want], f"{name}: `{field}` must have shape {shape[:want]}; got {got}.")
    bad = np.argwhere(~np.isfinite(data.attributes) & data.available[..., None])
    if len(bad):
        s, a, k = bad[0]
        raise ValueError(
            f"{name}: attribute `{data.columns[k]}` of alternative `{data.alternatives[a]}` in situation "
            f"{data.situations[s]} is not finite: correct it, or mark the alternative unavailable."
        )
    bad = np.flatnonzero(~(np.isfinite(data.weight) & (data.weight >= 0)))
    require(
        len(bad) == 0,
        f"{name}: `weight` of situation {data.situations[bad[:1]]} is negative or not finite: a weight is 0 or more.",
    )
    require(data.weight.sum() > 0, f"{name}: all of `weight` is 0: give at least one situation a positive weight.")
    bad = np.flatnonzero((data.chosen < 0) | (data.chosen >= shape[1]))
    require(
        len(bad) == 0,
        f"{name}: `chosen` of situation {data.situations[bad[:1]]} must be an index from 0 to {shape[1] - 1}.",
    )
    bad = np.flatnonzero(~np.take_along_axis(data.available, data.chosen[:, None], 1)[:, 0])
    require(
        len(bad) == 0,
        f"{name}: the alternative chosen in situation {data.situations[bad[:1]]} is not available: correct either.",
    )
    require(
        data.person.min() >= 0 and data.person.max() < len(data.people),
        f"{name}: `person` must be indices from 0 to {len(data.people) - 1}, into `people`.",
    )


def _digest(data: ChoiceData) -> str:
    out = hashlib.sha256(repr((data.alternatives, data.columns)).encode())
    for array, kind in (
        (data.attributes, "<f8"),
        (data.chosen, "<i8"),
        (data.available, "|b1"),
        (data.person, "<i8"),
        (data.weight, "<f8"),
    ):
        out.update(np.ascontiguousarray(array, kind).tobytes())
    return out.hexdigest()
