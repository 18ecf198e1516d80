"""Lists of names as padded arrays of indices, every fault named by its ranking."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._check import require

Groups = list[list[int]]


def read_orders(
    orders: Sequence[Any], *, menu: Sequence[Any], items: Sequence[str] | None, **more: Any
) -> dict[str, Any]:
    """Fields of `RankingData` from lists of names; `RankingData.from_orders` documents the arguments."""
    orders, menu = list(orders), list(menu)
    source, labels = more.get("source", "orders"), more.get("labels")
    labels = range(len(orders)) if labels is None else labels
    for field in ("labels", "assigned", "feasible"):
        size = len(orders) if more.get(field) is None else len(more[field])
        require(
            size == len(orders),
            f"{source}: `{field}` must have one entry for each of the {len(orders)} rankings; got {size}.",
        )
    require(len(orders) > 0, f"{source} is empty: give at least one ranking.")
    require(len(menu) > 0, "`menu` is empty: name the items that people were shown.")
    common = isinstance(menu[0], str)
    require(
        common or len(menu) == len(orders),
        f"`menu` must be one list of names for all, or one for each of the {len(orders)} rankings; got {len(menu)}.",
    )
    menus = [[str(x) for x in m] for m in ([menu] if common else menu)]
    names = tuple(dict.fromkeys(x for m in menus for x in m)) if items is None else tuple(str(x) for x in items)
    place = {name: i for i, name in enumerate(names)}

    def index(name: Any, ranking: Any, what: str) -> int:
        require(
            str(name) in place,
            f"{source}: {what} of ranking {ranking} names the unknown item `{name}`: put it on the menu, or correct it.",
        )
        return place[str(name)]

    shown = np.zeros((len(orders), len(names)), bool)
    for r, label in enumerate(labels):
        shown[r, [index(x, label, "the menu") for x in (menus[0] if common else menus[r])]] = True
    lists = []
    for order, label in zip(orders, labels, strict=True):
        require(
            isinstance(order, list | tuple),
            f"{source}: ranking {label} must be a list of names, the best first; got {order!r}.",
        )
        lists.append([[index(x, label, "the list") for x in _group(entry)] for entry in order])
    fields = {**pack(lists), "menu": shown, "items": names, "source": source, **more}
    if more.get("assigned") is not None and not isinstance(more["assigned"], np.ndarray):
        given = zip(more["assigned"], labels, strict=True)
        fields["assigned"] = np.array([-1 if x is None else index(x, label, "`assigned`") for x, label in given])
    if more.get("feasible") is not None and not isinstance(more["feasible"], np.ndarray):
        can = np.zeros_like(shown)
        for r, (those, label) in enumerate(zip(more["feasible"], labels, strict=True)):
            can[r, [index(x, label, "`feasible`") for x in those]] = True
        fields["feasible"] = can
    return fields


def _group(entry: Any) -> list[Any]:
    return sorted(entry) if isinstance(entry, set | frozenset) else list(entry) if _many(entry) else [entry]


def _many(entry: Any) -> bool:
    return isinstance(entry, list | tuple)


def pack(lists: Sequence[Groups]) -> dict[str, np.ndarray]:
    """`order` and `level` of lists of groups of indices, padded with −1."""
    places = max((sum(map(len, groups)) for groups in lists), default=1)
    order, level = (np.full((len(lists), max(places, 1)), -1) for _ in range(2))
    for r, groups in enumerate(lists):
        flat = [(i, g) for g, group in enumerate(x for x in groups if x) for i in group]
        if flat:
            order[r, : len(flat)], level[r, : len(flat)] = zip(*flat, strict=True)
    return {"order": order, "level": level}
