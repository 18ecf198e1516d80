"""What rankings refuse, by the name of the ranking and the item; and their hash."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from .._check import require

if TYPE_CHECKING:
    from .data import RankingData


def check(data: "RankingData") -> None:
    """Raise `ValueError` for data that are no rankings."""
    name, order, level, menu = data.source, data.order, data.level, data.menu
    rankings, items = order.shape[0], len(data.items)
    require(rankings > 0, f"{name} is empty: give at least one ranking.")
    require(items >= 2, f"{name} has the single item {list(data.items)}: a ranking needs at least two.")
    for what, names in (("item", data.items), ("column", data.columns)):
        twice = [n for n, again in zip(names, _seen_before(names), strict=True) if again]
        require(not twice, f"{name}: {what} {twice[:1]} is named twice: keep one.")
    require(
        data.unranked in (None, "below", "silent"), f'`unranked` must be "below" or "silent", got {data.unranked!r}.'
    )
    _check_shapes(data)
    who = lambda r: f"{name}: ranking {data.labels[r]}"
    bad = np.argwhere((order < -1) | (order >= items))
    require(
        len(bad) == 0,
        f"{who(bad[0][0]) if len(bad) else ''} has an unknown item: `order` must be indices from 0 to {items - 1}, into "
        "`items`, and −1 after the last.",
    )
    there = order >= 0
    bad = np.flatnonzero(~there.any(1))
    require(len(bad) == 0, f"{who(bad[0]) if len(bad) else ''} is empty: drop it, or list at least one item.")
    bad = np.flatnonzero((~there[:, :-1] & there[:, 1:]).any(1))
    require(len(bad) == 0, f"{who(bad[0]) if len(bad) else ''} has a gap: put −1 after the last item only.")
    step = np.diff(level, axis=1)
    broken = (level[:, 0] != 0) | ((there[:, 1:]) & (step != 0) & (step != 1)).any(1) | ((level >= 0) != there).any(1)
    bad = np.flatnonzero(broken)
    require(
        len(bad) == 0,
        f"{who(bad[0]) if len(bad) else ''} has a bad `level`: it is 0 for the first group, one more for each next group, "
        "and −1 after the last item.",
    )
    ordered = np.sort(np.where(there, order, -1 - np.arange(order.shape[1])), 1)
    bad = np.argwhere(ordered[:, 1:] == ordered[:, :-1])
    if len(bad):
        r, p = bad[0]
        raise ValueError(f"{who(r)} lists item `{data.items[ordered[r, p]]}` twice: keep one place.")
    bad = np.argwhere(there & ~np.take_along_axis(menu, np.maximum(order, 0), 1))
    if len(bad):
        r, p = bad[0]
        raise ValueError(
            f"{who(r)} lists item `{data.items[order[r, p]]}`, which is not on its menu: correct the list or the menu."
        )
    bad = np.flatnonzero(menu.sum(1) < 2)
    require(
        len(bad) == 0,
        f"{who(bad[0]) if len(bad) else ''} has a menu of a single item, so it says nothing: drop it, or state all that "
        "the person could have listed.",
    )
    short = np.flatnonzero(there.sum(1) < menu.sum(1))
    require(
        len(short) == 0 or data.unranked is not None,
        f'{who(short[0]) if len(short) else ""} leaves out items of its menu: say `unranked="below"` if those are worse than '
        'all that is listed, or `unranked="silent"` if nothing is known of them.',
    )
    _check_rest(data, who)


def _check_shapes(data: "RankingData") -> None:
    name, (rankings, _), items = data.source, data.order.shape, len(data.items)
    for field in ("order", "level", "person", "assigned"):
        value = getattr(data, field)
        require(
            value is None or value.dtype.kind in "iu",
            f"{name}: `{field}` must be whole numbers, got {getattr(value, 'dtype', None)}.",
        )
    want = {
        "level": data.order.shape,
        "menu": (rankings, items),
        "feasible": (rankings, items),
        **dict.fromkeys(("person", "weight", "assigned", "labels"), (rankings,)),
    }
    for field, shape in want.items():
        value = getattr(data, field)
        require(
            value is None or np.shape(np.asarray(value)) == shape,
            f"{name}: `{field}` must have shape {shape}; got {np.shape(np.asarray(value))}.",
        )
    shape, last = np.shape(data.attributes), (items, len(data.columns))
    require(
        shape in (last, (rankings, *last)),
        f"{name}: `attributes` must be [{items} items, {len(data.columns)} columns], or the same for each of {rankings} "
        f"rankings; got shape {shape}.",
    )


def _check_rest(data: "RankingData", who) -> None:
    name, menu = data.source, data.menu
    finite = np.isfinite(data.attributes)
    if not finite.all():
        bad = np.argwhere(~np.broadcast_to(finite, (*menu.shape, len(data.columns))) & menu[..., None])
        if len(bad):
            r, i, k = bad[0]
            raise ValueError(
                f"{who(r)}: attribute `{data.columns[k]}` of item `{data.items[i]}` is not finite: correct it, or take the "
                "item off the menu."
            )
    bad = np.flatnonzero(~(np.isfinite(data.weight) & (data.weight >= 0)))
    require(
        len(bad) == 0,
        f"{name}: `weight` of ranking {data.labels[bad[:1]]} is negative or not finite: a weight is 0 or more.",
    )
    require(data.weight.sum() > 0, f"{name}: all of `weight` is 0: give at least one ranking a positive weight.")
    require(
        data.person.min() >= 0 and data.person.max() < len(data.people),
        f"{name}: `person` must be indices from 0 to {len(data.people) - 1}, into `people`.",
    )
    if data.assigned is not None:
        bad = np.flatnonzero((data.assigned < -1) | (data.assigned >= len(data.items)))
        require(
            len(bad) == 0,
            f"{who(bad[0]) if len(bad) else ''}: `assigned` must be an index from 0 to {len(data.items) - 1}, or −1 for "
            "nothing.",
        )
        given = data.assigned >= 0
        one = np.maximum(data.assigned, 0)[:, None]
        for field, table in (("menu", menu), ("feasible", data.feasible)):
            if table is None:
                continue
            bad = np.flatnonzero(given & ~np.take_along_axis(table, one, 1)[:, 0])
            require(
                len(bad) == 0,
                f"{who(bad[0]) if len(bad) else ''}: item `{data.items[data.assigned[bad[0]]] if len(bad) else ''}` was "
                f"assigned, but `{field}` does not hold it: correct either.",
            )


def _seen_before(names: tuple[str, ...]) -> list[bool]:
    seen: set[str] = set()
    return [n in seen or bool(seen.add(n)) for n in names]


def digest(data: "RankingData") -> str:
    """Hash of everything that a model may look at."""
    out = hashlib.sha256(repr((data.items, data.columns, data.unranked)).encode())
    for array, kind in (
        (data.order, "<i8"),
        (data.level, "<i8"),
        (data.menu, "|b1"),
        (data.attributes, "<f8"),
        (data.person, "<i8"),
        (data.weight, "<f8"),
        (np.zeros(0) if data.assigned is None else data.assigned, "<i8"),
        (np.zeros(0) if data.feasible is None else data.feasible, "|b1"),
    ):
        out.update(np.ascontiguousarray(array, kind).tobytes())
    return out.hexdigest()
