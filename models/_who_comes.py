"""What is asked of a world, checked: strangers or the same people, the outside option last, a group for each."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from ._check import require


class Asked(NamedTuple):
    """Who comes, and in which order the options stand.

    Attributes:
        order: `[options]`, index of each option in the data.
        kind: `[rows]`, index of a group, or None.
        static: `outside` and `options`, as worlds take them.
    """

    order: Int[np.ndarray, " options"]
    kind: Int[np.ndarray, " rows"] | None
    static: dict[str, Any]


def asked(
    options: Sequence[str],
    menu: Bool[np.ndarray, "rows options"],
    labels: np.ndarray,
    *,
    new: int | None,
    same: bool,
    outside: str | None,
    kind: Any,
    of: tuple[str, str],
) -> Asked:
    """Refuse what cannot be asked; put the outside option last.

    Args:
        options: names, in the order of the data. `menu`: `[rows, options]`. `labels`: `[rows]`, for messages.
        new, same, outside, kind: as the user gave them.
        of: what an option and a row are called.
    """
    option, row = of
    require(
        (new is not None) != same,
        "say either `new=` (how many strangers come) or `same=True` (the people in the data).",
    )
    require(
        outside is None or outside in options,
        f"`outside` must be one of the {option}s {list(options)}, got {outside!r}.",
    )
    order = np.arange(len(options))
    if outside is not None:
        last = list(options).index(outside)
        order = np.append(np.delete(order, last), last)
        lacking = np.flatnonzero(~menu[:, last])
        require(
            lacking.size == 0,
            f"the outside option `{outside}` is not on the menu of {row} {labels[lacking[:1]]}: it must be free to all.",
        )
    group = None if kind is None else np.asarray(kind)
    require(
        group is None or (group.shape == (len(menu),) and group.dtype.kind in "iu" and group.min() >= 0),
        f"`kind` must be one index of 0 or more for each of the {len(menu)} {row}s.",
    )
    return Asked(order, group, {"outside": outside is not None, "options": tuple(options[int(i)] for i in order)})


def last_rows(person: Int[np.ndarray, " rows"], people: int) -> Int[np.ndarray, " people"]:
    """The last row of each person who has any, in the order of people."""
    last = np.zeros(people, int)
    last[person] = np.arange(len(person))  # a later row overwrites an earlier one
    return last[np.unique(person)]
