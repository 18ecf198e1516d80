"""Reading comparisons from a table with one row for each, every fault named by its row."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._check import require
from .._table import Table, check_columns, floats, load, names, shown


def read_comparisons(
    source: Any,
    *,
    choice: str,
    own: Sequence[str],
    others: Sequence[Any],
    person: str | None,
    kind: str | None,
    unkind: str | None,
    without: Any,
) -> dict[str, Any]:
    """Fields of `SocialChoiceData`, payoffs instead of gaps; `SocialChoiceData.from_table` documents the arguments."""
    import pandas as pd

    own = (own,) if isinstance(own, str) else tuple(own)
    require(len(own) == 2, f"`own` must name two columns, one for each option; got {own}.")
    require(
        not isinstance(others, str) and len(others) == 2,
        f"`others` must have two entries, one for each option; got {others!r}.",
    )
    sides = [(o,) if isinstance(o, str) else tuple(o) for o in others]
    require(
        len(sides[0]) == len(sides[1]) > 0,
        f"`others` must name as many columns for the first option as for the second; got {sides}.",
    )
    table = load(source, "comparison")
    roles = [c for c in (choice, *own, *sides[0], *sides[1], person, kind, unkind) if c is not None]
    check_columns(table, roles, "comparison")
    columns = [[column(table, c) for c in (mine, *theirs)] for mine, theirs in zip(own, sides, strict=True)]
    first = flag(table, choice, "the first option was taken", "the second was")
    fields: dict[str, Any] = {
        "payoffs": np.moveaxis(np.asarray(columns), 2, 0),
        "chosen": np.where(first, 0, 1),
        "source": table.source,
        "sha256": table.sha256,
        "situations": np.asarray(table.label),
    }
    for name, flags in (("kind", kind), ("unkind", unkind)):
        if flags is not None:
            fields[name] = flag(table, flags, f"the other has been {name}", "not").astype(float)
    left = [str(w) for w in np.ravel(np.asarray(without, object))]
    require(person is not None or not left, "`without` names people, so say with `person=` which column they are in.")
    if person is None:
        return fields
    gap = table.frame[person].isna().to_numpy()
    require(not gap.any(), f"{table.at(gap.argmax())}: column `{person}` is empty: fill it in or drop the row.")
    who = names(table.frame[person])
    unknown = sorted(set(left) - set(who))
    require(not unknown, f"`without` names {unknown[:3]}, who are not in column `{person}` of {table.source}.")
    keep = ~np.isin(who.astype(str), left)
    require(keep.any(), f"`without` leaves nobody of {table.source}: leave out fewer people.")
    if left:
        rows = ("payoffs", "chosen", "situations", "kind", "unkind")
        fields = {n: x[keep] if n in rows else x for n, x in fields.items()} | {"sha256": ""}
    index, people = pd.factorize(who[keep])
    return fields | {"person": index, "people": np.asarray(people)}


def column(table: Table, name: str, empty: bool = False) -> np.ndarray:
    """A column of finite numbers; with `empty` a cell without an entry is NaN."""
    text = table.frame[name]
    number = floats(text)
    bad = ~np.isfinite(number)
    if empty:
        bad &= ~text.isna().to_numpy()
    at = bad.argmax()
    require(
        not bad.any(),
        f"{table.at(at)}: column `{name}` holds {shown(text.iloc[at])}, which is not a finite number: correct it or drop "
        "the row.",
    )
    return number


def flag(table: Table, name: str, yes: str, no: str) -> np.ndarray:
    """A column of 0 and 1 as booleans."""
    number = floats(table.frame[name])
    bad = ~np.isin(number, (0.0, 1.0))
    at = bad.argmax()
    require(
        not bad.any(),
        f"{table.at(at)}: column `{name}` holds {shown(table.frame[name].iloc[at])}: write 1 where {yes} and 0 where {no}.",
    )
    return number == 1
