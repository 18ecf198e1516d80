"""Reading rankings from a long table: one row for each ranking and item, every fault named by its row."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._check import require
from .._table import Table, check_columns, floats, load, shown
from .._table import names as as_text
from ._orders import pack


def read_long(
    source: Any,
    *,
    ranking: str,
    item: str,
    rank: str,
    menu: Any,
    ties: bool,
    attributes: Sequence[str],
    person: str | None,
    weight: str | None,
    assigned: str | None,
    feasible: str | None,
    items: Sequence[str] | None,
) -> dict[str, Any]:
    """Fields of `RankingData` from a long table; `RankingData.from_long` documents the arguments."""
    import pandas as pd

    require(
        menu in ("rows", "all") if isinstance(menu, str) else bool(list(menu)),
        f'`menu` must be "rows", "all" or a list of the names that everybody was shown; got {menu!r}.',
    )
    columns = (attributes,) if isinstance(attributes, str) else tuple(attributes)
    table = load(source, "ranking and item")
    roles = [c for c in (ranking, item, rank, person, weight, assigned, feasible, *columns) if c is not None]
    check_columns(table, roles, "ranking and item")
    frame = table.frame
    for column in (ranking, item, *(() if person is None else (person,))):
        gap = frame[column].isna().to_numpy()
        require(not gap.any(), f"{table.at(gap.argmax())}: column `{column}` is empty: fill it in or drop the row.")
    r, labels = pd.factorize(frame[ranking])
    named = as_text(frame[item])
    names = tuple(pd.factorize(named)[1]) if items is None else tuple(str(x) for x in items)
    i = pd.Index(names).get_indexer(named)
    at = (i < 0).argmax()
    require(
        i.min() >= 0,
        f"{table.at(at)}: item `{named[at]}` in column `{item}` is not in `items` {list(names)}: add it there or drop the row.",
    )
    shape = (len(labels), len(names))
    cell = r * shape[1] + i
    again = pd.Series(cell).duplicated().to_numpy()
    at = again.argmax()
    require(
        not again.any(), f"{table.at(at)}: item `{named[at]}` appears twice in ranking {labels[r[at]]}: keep one row."
    )
    place = floats(frame[rank])
    bad = ~np.isfinite(place) & ~frame[rank].isna().to_numpy()
    at = bad.argmax()
    require(
        not bad.any(),
        f"{table.at(at)}: column `{rank}` holds {shown(frame[rank].iloc[at])}, which is no rank: write a number, 1 for the "
        "best, or leave it empty where the item was not ranked.",
    )
    listed = np.isfinite(place)
    fields = {
        **_orders(table, r, i, place, listed, named, labels, names, ties),
        "menu": _menu(table, menu, shape, cell, listed, named, names),
        "items": names,
        "labels": np.asarray(labels),
        "source": table.source,
        "sha256": table.sha256,
    }
    if columns:
        values = np.zeros((*shape, len(columns)))
        filled = np.zeros(shape, bool)
        filled.flat[cell] = True
        lacking = fields["menu"] & ~filled
        if lacking.any():
            row, which = np.argwhere(lacking)[0]
            raise ValueError(
                f"{table.at((r == row).argmax())}: ranking {labels[row]} has no row for item `{names[which]}`, which is on "
                "its menu: add the row, so that its attributes are known."
            )
        for k, column in enumerate(columns):
            values[..., k].flat[cell] = _number(table, column)
        fields |= {"attributes": values, "columns": columns}
    if person is not None:
        who, people = pd.factorize(frame[person])
        fields |= {"person": _per_ranking(table, person, who, r), "people": np.asarray(people)}
    if weight is not None:
        fields["weight"] = _per_ranking(table, weight, _number(table, weight), r)
    if assigned is not None:
        got = _flag(table, assigned)
        twice = np.flatnonzero(np.bincount(r, got, shape[0]) > 1)
        if len(twice):
            at = np.flatnonzero((r == twice[0]) & got)[1]
            raise ValueError(
                f"{table.at(at)}: ranking {labels[twice[0]]} has a second item in column `{assigned}`: mark one row with 1."
            )
        fields["assigned"] = np.full(shape[0], -1)
        fields["assigned"][r[got]] = i[got]
    if feasible is not None:
        can = np.zeros(shape, bool)
        can.flat[cell] = _flag(table, feasible)
        fields["feasible"] = can
    return fields


def _orders(table: Table, r, i, place, listed, named, labels, names, ties: bool) -> dict[str, np.ndarray]:
    """`order` and `level`; an unlisted ranking, and equal ranks that are not called ties, are refused."""
    empty = np.flatnonzero(np.bincount(r[listed], minlength=len(labels)) == 0)
    if len(empty):
        raise ValueError(
            f"{table.at((r == empty[0]).argmax())}: ranking {labels[empty[0]]} ranks nothing: drop its rows, or rank one item."
        )
    rows = np.flatnonzero(listed)
    rows = rows[np.lexsort((place[rows], r[rows]))]
    same = (np.diff(r[rows]) == 0) & (np.diff(place[rows]) == 0)
    if same.any() and not ties:
        first, second = rows[same.argmax()], rows[same.argmax() + 1]
        at = int(max(first, second))
        raise ValueError(
            f"{table.at(at)}: items `{named[first]}` and `{named[second]}` of ranking {labels[r[at]]} share rank "
            f"{place[at]:g}: correct one, or say `ties=True` if they are tied."
        )
    lists = [[] for _ in labels]
    tied = np.append(False, same)
    for row, with_last in zip(rows, tied, strict=True):
        if with_last:
            lists[r[row]][-1].append(int(i[row]))
        else:
            lists[r[row]].append([int(i[row])])
    return pack(lists)


def _menu(table: Table, menu: Any, shape, cell, listed, named, names) -> np.ndarray:
    found = np.zeros(shape, bool)
    if isinstance(menu, str):
        if menu == "all":
            return np.ones(shape, bool)
        found.flat[cell] = True
        return found
    unknown = [x for x in menu if str(x) not in names]
    require(not unknown, f"`menu` names {unknown[:1]}, which is no item of {table.source}; give it in `items` too.")
    found[:, [names.index(str(x)) for x in menu]] = True
    outside = listed & ~found.flat[cell]
    at = outside.argmax()
    require(
        not outside.any(),
        f"{table.at(at)}: item `{named[at]}` is ranked, but it is not on `menu`: correct the row or the menu.",
    )
    return found


def _number(table: Table, column: str) -> np.ndarray:
    text = table.frame[column]
    number = floats(text)
    bad = ~np.isfinite(number)
    at = bad.argmax()
    require(
        not bad.any(),
        f"{table.at(at)}: column `{column}` holds {shown(text.iloc[at])}, which is not a finite number: correct it, or drop "
        "the row.",
    )
    return number


def _flag(table: Table, column: str) -> np.ndarray:
    number = floats(table.frame[column])
    bad = ~np.isin(number, (0.0, 1.0))
    at = bad.argmax()
    require(
        not bad.any(),
        f"{table.at(at)}: column `{column}` holds {shown(table.frame[column].iloc[at])}: write 1 for yes and 0 for no.",
    )
    return number == 1


def _per_ranking(table: Table, column: str, value: np.ndarray, r: np.ndarray) -> np.ndarray:
    """One value for each ranking, refused where its rows disagree."""
    _, first = np.unique(r, return_index=True)
    differs = value[first][r] != value
    require(
        not differs.any(),
        f"{table.at(differs.argmax())}: column `{column}` changes within a ranking: give its rows one entry.",
    )
    return value[first]
