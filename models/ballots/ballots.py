"""Votes on what a common budget should pay for, as cities publish them."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from .._check import require
from ..ratings.data import RatingData
from ._pabulib import POINTS, TYPES, read_pabulib


@dataclasses.dataclass(frozen=True, eq=False)
class Ballots:
    r"""A participatory budget as it was voted on; read it with `Ballots.from_pabulib`.

    What a vote holds depends on `vote_type`:

    ==============  =============================  ===================================================
    vote_type       a project that was named       a project that was not
    ==============  =============================  ===================================================
    approval        1                              0
    ordinal         its place, 1 the best          NaN: below all that were named, or not known
    cumulative      the points spent on it         0: points were spent elsewhere
    scoring         the points given to it         META's `default_score`; NaN where it states none
    ==============  =============================  ===================================================

    Which sets of projects the budget can pay for is no `Supply` of this package: a supply shares options out among
    agents, and a project that is built is there for all.

    Attributes:
        vote_type: "approval", "ordinal", "cumulative" or "scoring".
        projects: their names in the file. `cost`: `[projects]`, in the file's currency. `budget`: the same.
        voters: their names. `votes`: `[voters, projects]`, see above.
        voter_facts: other columns of VOTES, such as age, by name, as text. `project_facts`: of PROJECTS.
        meta: section META as text.
        source: name of the file. `sha256`: hash of its bytes.

    Source: Stolicki, Szufa and Talmon, "Pabulib: A Participatory Budgeting Library" (2020), arXiv 2012.06539.

    Example:
        >>> import tempfile, pathlib
        >>> text = '''META
        ... key;value
        ... vote_type;ordinal
        ... budget;100
        ... PROJECTS
        ... project_id;cost;name
        ... p;60;Park
        ... q;50;"Quay; north"
        ... VOTES
        ... voter_id;vote;age
        ... 1;q,p;34
        ... 2;p;71
        ... '''
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "town.pb"
        >>> _ = path.write_text(text)
        >>> ballots = Ballots.from_pabulib(path)
        >>> ballots.votes.tolist(), ballots.orders(), ballots.voter_facts["age"].tolist()
        ([[2.0, 1.0], [1.0, nan]], [['q', 'p'], ['p']], ['34', '71'])
    """

    vote_type: str
    projects: tuple[str, ...]
    cost: Float[np.ndarray, " projects"]
    budget: float
    voters: tuple[str, ...]
    votes: Float[np.ndarray, "voters projects"]
    voter_facts: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    project_facts: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    meta: Mapping[str, str] = dataclasses.field(default_factory=dict)
    source: str = "arrays"
    sha256: str = ""

    def __post_init__(self):
        require(self.vote_type in TYPES, f"`vote_type` must be one of {', '.join(TYPES)}, got {self.vote_type!r}.")
        shape = (len(self.voters), len(self.projects))
        require(
            np.shape(self.votes) == shape and np.shape(self.cost) == shape[1:],
            f"`votes` must be [voters, projects] and `cost` [projects], that is {shape} and {shape[1:]}; got "
            f"{np.shape(self.votes)} and {np.shape(self.cost)}.",
        )

    @classmethod
    def from_pabulib(cls, path: str | os.PathLike) -> "Ballots":
        """Read a Pabulib file: sections META, PROJECTS and VOTES, entries separated by semicolons.

        Args:
            path: of a `.pb` file, UTF-8.

        Returns:
            The ballots, projects and voters in the order of the file.

        Raises:
            ValueError: one sentence that names file, line and column: a section or a column that is missing, a cost that is
                no number, a project that is unknown or named twice, points or lengths beyond what META allows, or fewer
                votes than META says.
        """
        return cls(**read_pabulib(path))

    def orders(self) -> list[list[str]]:
        """Each voter's projects, best first, those not named left out.

        Raises:
            ValueError: the votes are not ordinal.
        """
        require(
            self.vote_type == "ordinal",
            f"{self.source}: votes are {self.vote_type}, which order projects with ties if at all: use `votes` or `ratings`.",
        )
        sizes = np.isfinite(self.votes).sum(1)
        best = np.argsort(self.votes, axis=1, kind="stable")  # NaN last
        return [[self.projects[j] for j in row[:size]] for row, size in zip(best, sizes, strict=True)]

    def ratings(self, *, scale: Any = None, steps: Any = None) -> RatingData:
        """The points as ratings, for the models of `fairhand.models.ratings`.

        Points of a cumulative ballot come out of one purse: what one project got, another did not. No model of ratings
        knows that; read strength from them with care.

        Args:
            scale: least and greatest points one could give a project; None takes META's `min_points` (0 if it states none)
                and `max_points`, or for cumulative votes `max_sum_points`.
            steps: points one could give, where they are a few; see `RatingData`.

        Returns:
            Ratings by voter and project; NaN where `votes` has it.

        Raises:
            ValueError: the votes are no points, META does not say how many one could give, or `RatingData` refuses them.
        """
        require(
            self.vote_type in POINTS,
            f"{self.source}: votes are {self.vote_type}, which hold no points: only {' and '.join(POINTS)} ones do.",
        )
        if scale is None and steps is None:
            most = self.meta.get("max_points")
            if most is None and self.vote_type == "cumulative":
                most = self.meta.get("max_sum_points")
            require(
                most is not None,
                f"{self.source}: META does not state `max_points`: say `scale=`, the least and greatest points one could give.",
            )
            low = 0.0 if self.vote_type == "cumulative" else float(self.meta.get("min_points", 0.0))
            scale = (low, float(most or 0.0))
        return RatingData(self.votes, scale, steps, self.voters, self.projects, self.source, self.sha256)
