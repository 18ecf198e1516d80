r"""One rule for sampling weights in all models: a weight stands for so many people like this one.

So the log-likelihood of a person is multiplied by their weight, *outside* whatever is summed or integrated over what that
person has of their own (a taste, a class, a budget):

.. math:: \sum_i w_i \log \int \prod_t P(y_{it} \mid b)\, dF(b).

To weigh a person's choices inside the integral would say something else: that this one person made each choice w times, and so
has a taste that is known all the better. What follows:

* A row of weight 0 is left out.
* Where all are alike (`ConditionalLogit`, `BundleLogit`, `PlackettLuce`, …) rows are independent, and each has its own weight;
  so too where only a budget differs, which is another one in each situation (`BudgetLogit`).
* Where people have classes (`LatentClassLogit`) the other rows of one person must all weigh the same.
* Where people have tastes of their own (`MixedLogit`, `MixedRankOrderedLogit`) everybody's taste is drawn, and w people have w
  tastes. Weights there must be 0 or 1; `expanded()` of the data makes people out of whole weights, w for each, exactly.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from ._check import require


def people_weights(data: Any) -> Float[np.ndarray, " people"]:
    """The weight of each person, who has one; 0 for people without any row that counts.

    Args:
        data: with `weight` and `person` by row, and `people`; what a row is called is its `row`.

    Raises:
        ValueError: two rows of one person weigh differently, and both more than 0.

    Example:
        >>> from fairhand.models.choice import ChoiceData
        >>> chosen, who = np.array([0, 1, 0]), np.array([0, 0, 1])
        >>> data = ChoiceData(np.zeros((3, 2, 1)), chosen, ("a", "b"), ("x",), person=who, weight=np.array([2.0, 0.0, 1.0]))
        >>> people_weights(data).tolist()
        [2.0, 1.0]
    """
    most = np.zeros(len(data.people))
    np.maximum.at(most, data.person, data.weight)
    own = most[data.person]
    bad = np.flatnonzero((data.weight > 0) & (np.abs(data.weight - own) > 1e-9 * own))
    what, names = data.row
    require(
        bad.size == 0,
        f"{data.source}: {what} {names[bad[:1]]} has another `weight` than the person's other {what}s: a weight stands for "
        f"so many people, so weight people, or give 0 to leave a {what} out.",
    )
    return most


def counted(data: Any) -> Bool[np.ndarray, " rows"]:
    """Which rows count, where everybody is drawn once; refuses weights other than 0 and 1 by name."""
    bad = np.flatnonzero((data.weight != 0) & (data.weight != 1))
    what, names = data.row
    require(
        bad.size == 0,
        f"{data.source}: `weight` of {what} {names[bad[:1]]} is {data.weight[bad[:1]]}: it stands for so many people, and "
        "here each would have a taste of their own. Take `data.expanded()`, which makes people out of whole weights.",
    )
    return data.weight > 0


def copies(data: Any) -> tuple[Int[np.ndarray, " copies"], Int[np.ndarray, " copies"]]:
    """Rows of as many people as each weight says, and whose they are; what one person did stays together.

    Raises:
        ValueError: a weight that is not whole, or see `people_weights`.

    Example:
        >>> from fairhand.models.choice import ChoiceData
        >>> chosen, who = np.array([0, 1, 0]), np.array([0, 0, 1])
        >>> data = ChoiceData(np.zeros((3, 2, 1)), chosen, ("a", "b"), ("x",), person=who, weight=np.array([2.0, 2.0, 1.0]))
        >>> [x.tolist() for x in copies(data)]
        [[0, 1, 0, 1, 2], [0, 0, 1, 1, 2]]
    """
    what, names = data.row
    bad = np.flatnonzero(np.rint(data.weight) != data.weight)
    require(
        bad.size == 0,
        f"{data.source}: `weight` of {what} {names[bad[:1]]} is not whole: only whole numbers of people become rows.",
    )
    times = people_weights(data).astype(int)
    used = np.flatnonzero(data.weight > 0)
    each = times[data.person[used]]
    row = np.repeat(used, each)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(each) - each, each)  # which copy of its person
    person = (np.cumsum(times) - times)[data.person[row]] + nth
    order = np.argsort(person, kind="stable")
    return row[order], person[order]
