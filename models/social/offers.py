"""The least share of a pie that each person accepts, known up to the step between two offers."""

import dataclasses
import hashlib
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from .._check import require
from .._table import check_columns, load, names
from ._reading import column

_LATER: Any = None  # filled in by `__post_init__`


@dataclasses.dataclass(frozen=True, eq=False)
class OfferData:
    """Ultimatum games by the strategy method: of a list of offers, the least one that each person accepts.

    Args:
        offers: `[offers]`, shares of the pie, increasing, from 0 to 1.
        accepts: `[people]`, index of the least offer that is accepted; the number of offers where none is.
        people: names; None numbers them from 0.
        source: name of the file. `sha256`: of its bytes; for arrays, of the arrays.

    Raises:
        ValueError: nobody, offers that are not increasing shares, an index that is none, no offer below half.

    Example:
        >>> data = OfferData([0.0, 0.2, 0.4, 0.5], [0, 2, 3])
        >>> data.at_half.tolist()
        [False, False, True]
    """

    offers: Any
    accepts: Any
    people: Any = _LATER
    source: str = "arrays"
    sha256: str = ""

    def __post_init__(self):
        accepts = np.asarray(self.accepts)
        people = np.arange(len(np.atleast_1d(accepts))) if self.people is None else np.asarray(self.people)
        for name, value in {"offers": np.asarray(self.offers, float), "accepts": accepts, "people": people}.items():
            object.__setattr__(self, name, value)
        s, name = self.offers, self.source
        require(
            s.ndim == 1 and len(s) > 0 and np.all(np.diff(s) > 0) and s[0] >= 0 and s[-1] <= 1,
            f"{name}: `offers` must be increasing shares of the pie, from 0 to 1; got {s.tolist()}.",
        )
        require(s[0] < 0.5, f"{name}: `offers` has none below half, and only those can tell aversion: add some.")
        require(accepts.ndim == 1 and len(accepts) > 0, f"{name} is empty: give at least one person.")
        good = accepts.dtype.kind in "iu" and accepts.min() >= 0 and accepts.max() <= len(s)
        require(
            good, f"{name}: `accepts` must be whole numbers from 0 to {len(s)}, the index of the least offer accepted."
        )
        require(people.shape == accepts.shape, f"{name}: `people` must name each of {len(accepts)} people.")
        if not self.sha256:
            digest = hashlib.sha256(np.ascontiguousarray(s, "<f8").tobytes())
            digest.update(np.ascontiguousarray(accepts, "<i8").tobytes())
            object.__setattr__(self, "sha256", digest.hexdigest())

    @classmethod
    def from_minimum(cls, minimum: Any, offers: Any, *, pie: float | int = 1.0, **fields: Any) -> "OfferData":
        """From the least amounts that people accept.

        Args:
            minimum: `[people]`, each one of the `offers`; inf where none is accepted.
            offers: amounts that were asked, increasing. `pie`: what is divided, in the same unit.
            **fields: `people`, `source`, `sha256`.

        Raises:
            ValueError: an amount that was not on offer.

        Example:
            >>> OfferData.from_minimum([0, 4, np.inf], offers=range(0, 11, 2), pie=20).accepts.tolist()
            [0, 2, 6]
        """
        minimum, asked = np.asarray(minimum, float), np.asarray(offers, float)
        require(pie > 0, f"`pie` must be positive, got {pie}.")
        at = np.searchsorted(asked, minimum)
        known = np.isposinf(minimum) | (np.append(asked, np.nan)[np.minimum(at, len(asked))] == minimum)
        require(
            known.all(),
            f"`minimum` holds {minimum[~known][:1]}, which is none of the `offers` {asked.tolist()}: list it there.",
        )
        return cls(offers=asked / pie, accepts=at, **fields)

    @classmethod
    def from_table(
        cls, frame_or_path: Any, *, minimum: str, offers: Any, pie: float | int = 1.0, person: str | None = None
    ) -> "OfferData":
        """Read a table with one row for each person.

        Args:
            frame_or_path: a pandas data frame, a mapping of columns, or the path of a CSV or Parquet file with a header.
            minimum: column with the least amount accepted; empty where none is.
            offers: amounts that were asked. `pie`: what is divided. `person`: column with names.

        Raises:
            ValueError: one sentence that names the file, the line (or the row's index) or the column, and the cure.
        """
        table = load(frame_or_path, "person")
        check_columns(table, [c for c in (minimum, person) if c is not None], "person")
        least = column(table, minimum, empty=True)
        least = np.where(np.isnan(least), np.inf, least)
        bad = ~np.isposinf(least) & ~np.isin(least, np.asarray(offers, float))
        require(
            not bad.any(),
            f"{table.at(bad.argmax())}: column `{minimum}` holds {least[bad.argmax()]:g}, which is none of the `offers`.",
        )
        who = {} if person is None else {"people": names(table.frame[person]).astype(str)}
        return cls.from_minimum(least, offers, pie=pie, source=table.source, sha256=table.sha256, **who)

    @classmethod
    def from_saved(cls, observed: Any, constant: Any, facts: Any) -> "OfferData":
        """The data whose `observed()`, `constant()` and `facts()` these are, arrays by name."""
        people = constant["person_name"].astype(str)
        return cls(constant["offers"], observed["accepts"], people, facts["source"], facts["sha256"])

    def observed(self) -> dict[str, tuple[Any, np.ndarray]]:
        """The least offers accepted: name to dimensions and array."""
        return {"accepts": ("person", np.asarray(self.accepts))}

    def constant(self) -> dict[str, tuple[Any, np.ndarray]]:
        """What was on offer, in the same form."""
        return {"offers": ("offer", self.offers), "person_name": ("people", np.asarray(self.people).astype(str))}

    def facts(self) -> dict[str, Any]:
        """Origin, as JSON can hold it."""
        return {"source": self.source, "sha256": self.sha256}

    @property
    def person(self) -> Int[np.ndarray, " people"]:
        """`[people]`, whose each entry is."""
        return np.arange(len(self.accepts))

    @property
    def at_half(self) -> np.ndarray:
        """`[people]`, who refuses every offer below half: their α has a lower end and no upper one, so it is censored."""
        return self.accepts >= int((self.offers < 0.5).sum())

    @property
    def edges(self) -> Float[np.ndarray, " edges"]:
        r"""Offers below half as :math:`-\log(1 - 2s) = \log(1 + 2\alpha)`, −inf before and +inf after: ends of intervals."""
        below = self.offers[self.offers < 0.5]
        return np.concatenate([[-np.inf], -np.log1p(-2 * below), [np.inf]])

    def changed(self, **fields: Any) -> "OfferData":
        """The data with other fields, such as simulated answers; the hash is taken anew, and `source` says so."""
        source = self.source if self.source.endswith("(changed)") else f"{self.source} (changed)"
        return dataclasses.replace(self, **{"source": source, "sha256": "", **fields})

    def statistics(self) -> dict[str, Any]:
        """What `check` compares: who accepts the least offer, who refuses all below half, and the mean answer."""
        last = len(self.edges) - 2
        cut = lambda y: np.minimum(np.asarray(y), last)
        return {
            "accepts all": lambda y: (cut(y) == 0).mean(-1),
            "refuses all below half": lambda y: (cut(y) == last).mean(-1),
            "mean answer": lambda y: cut(y).mean(-1),
        }
