"""Reading choices from a long table: one row for each situation and alternative, every fault named by its row."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._check import require
from .._table import Table, check_columns, floats, load, names, shown


def read_long(
    source: Any,
    *,
    situation: str,
    alternative: str,
    choice: str,
    attributes: Sequence[str],
    person: str | None,
    available: str | None,
    weight: str | None,
    missing: str,
    alternatives: Sequence[str] | None,
) -> dict[str, Any]:
    """Fields of `ChoiceData` from a long table; `ChoiceData.from_long` documents the arguments."""
    import pandas as pd

    require(missing in ("error", "unavailable"), f'`missing` must be "error" or "unavailable", got {missing!r}.')
    columns = (attributes,) if isinstance(attributes, str) else tuple(attributes)
    table = load(source, "situation and alternative")
    roles = [c for c in (situation, alternative, choice, person, available, weight, *columns) if c is not None]
    check_columns(table, roles, "situation and alternative")

    for column in (situation, alternative, *(() if person is None else (person,))):
        gap = table.frame[column].isna().to_numpy()
        require(not gap.any(), f"{table.at(gap.argmax())}: column `{column}` is empty: fill it in or drop the row.")
    s, situations = pd.factorize(table.frame[situation])
    named = names(table.frame[alternative])
    if alternatives is None:
        a, options = pd.factorize(named)
        options = tuple(options)
    else:
        options = tuple(alternatives)
        a = pd.Index(options).get_indexer(named)
        at = (a < 0).argmax()
        require(
            a.min() >= 0,
            f"{table.at(at)}: alternative `{named[at]}` in column `{alternative}` is not in `alternatives` "
            f"{list(options)}: add it there or drop the row.",
        )
    shape = (len(situations), len(options))
    cell = s * shape[1] + a
    again = pd.Series(cell).duplicated().to_numpy()
    at = again.argmax()
    require(
        not again.any(),
        f"{table.at(at)}: alternative `{named[at]}` appears twice in situation {situations[s[at]]}: keep one row.",
    )
    present = np.zeros(shape, bool)
    present.flat[cell] = True
    if missing == "error" and not present.all():
        where, which = np.argwhere(~present)[0]
        raise ValueError(
            f"{table.at((s == where).argmax())}: situation {situations[where]} has no row for alternative "
            f'`{options[which]}`: add the row, or say `missing="unavailable"` if it could not be chosen.'
        )

    can = np.ones(len(cell), bool) if available is None else _flag(table, available, "can be chosen", "cannot")
    take = _flag(table, choice, "is chosen", "is not")
    times = np.bincount(s, take, shape[0])
    if (times != 1).any():
        bad = (times != 1).argmax()
        rows = np.flatnonzero((s == bad) & take)
        at, what = (rows[1], "a second choice") if rows.size else ((s == bad).argmax(), "no choice")
        raise ValueError(
            f"{table.at(at)}: situation {situations[bad]} has {what} in column `{choice}`: mark one row with 1, "
            "or drop the situation."
        )
    forbidden = take & ~can
    at = forbidden.argmax()
    require(
        not forbidden.any(),
        f"{table.at(at)}: alternative `{named[at]}` is chosen, but column `{available}` says that it is not available: "
        "correct one of the two.",
    )
    values = np.zeros((*shape, len(columns)))
    for k, column in enumerate(columns):
        values[..., k].flat[cell] = np.where(can, _number(table, column, can), 0.0)
    present.flat[cell] = can
    fields = {
        "attributes": values,
        "chosen": a[take][np.argsort(s[take])],
        "alternatives": options,
        "columns": columns,
        "available": present,
        "situations": np.asarray(situations),
        "source": table.source,
        "sha256": table.sha256,
    }
    if person is not None:
        who, people = pd.factorize(table.frame[person])
        fields["person"] = _per_situation(table, person, who, s, shape[0])
        fields["people"] = np.asarray(people)
    if weight is not None:
        size = _number(table, weight, np.ones(len(cell), bool))
        require((size >= 0).all(), f"{table.at((size < 0).argmax())}: `{weight}` is negative: a weight is 0 or more.")
        fields["weight"] = _per_situation(table, weight, size, s, shape[0])
    return fields


def _number(table: Table, column: str, needed: np.ndarray) -> np.ndarray:
    text = table.frame[column]
    number = floats(text)
    bad = needed & ~np.isfinite(number)
    at = bad.argmax()
    require(
        not bad.any(),
        f"{table.at(at)}: column `{column}` holds {shown(text.iloc[at])}, which is not a finite number: "
        "correct it, or drop the situation.",
    )
    return number


def _flag(table: Table, column: str, yes: str, no: str) -> np.ndarray:
    number = floats(table.frame[column])
    bad = ~np.isin(number, (0.0, 1.0))
    at = bad.argmax()
    require(
        not bad.any(),
        f"{table.at(at)}: column `{column}` holds {shown(table.frame[column].iloc[at])}: "
        f"write 1 where the alternative {yes} and 0 where it {no}.",
    )
    return number == 1


def _per_situation(table: Table, column: str, value: np.ndarray, s: np.ndarray, situations: int) -> np.ndarray:
    """One value for each situation, refused where its rows disagree."""
    _, first = np.unique(s, return_index=True)
    out = value[first]
    differs = value != out[s]
    require(
        not differs.any(),
        f"{table.at(differs.argmax())}: column `{column}` changes within a situation: give its rows one entry.",
    )
    assert out.shape == (situations,)
    return out
