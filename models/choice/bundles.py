"""Choices among bundles of goods, as choice data: one column a good, a pair and a size."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from .._check import require
from .data import ChoiceData

NOTHING = "nothing"  # name of the empty bundle


def bundle_choices(
    bundles: Any,
    chosen: Any,
    goods: Sequence[str],
    *,
    pairs: str | Sequence[str | tuple[str, str]] = "all",
    sizes: bool | Sequence[int] = False,
    features: Mapping[str, Any] | None = None,
    available: Any = None,
    person: Any = None,
    weight: Any = None,
    situations: Any = None,
    people: Any = None,
    source: str = "bundles",
) -> ChoiceData:
    r"""Who took which bundle of a menu, as `ChoiceData` that `BundleLogit` and the other models of choice fit.

    The columns are those in which the worth of a bundle y is linear,

    .. math:: v(y) = \sum_j y_j(\alpha_j + z_j\cdot\beta) + \sum_{j<l}\gamma_{jl}\,y_j y_l + \delta_{|y|}, \qquad v(0) = 0:

    a good's (named as it is; 1 where the bundle has it), a pair's ("a+b"; 1 where it has both), a size's ("size:3"), and a
    feature's, summed over the goods in the bundle. The alternatives are the bundles: "nothing", "a", "a+b", ….

    Args:
        bundles: `[bundles, goods]`, 0 or 1; row 0 is the empty bundle.
        chosen: `[situations]`, row of the bundle taken.
        goods: their names.
        pairs: which complements to give a column: "all" that some menu offers together, or a list of "a+b" or ("a", "b").
        sizes: which sizes: True for each from 3 up that a bundle has (from 2 up where not all pairs have a column), or a
            list. One good's size is in its column already.
        features: name to `[goods]`, or `[situations, goods]`: a price, a distance.
        available: `[situations, bundles]`, the menus; None offers all.
        person, weight, situations, people, source: as in `ChoiceData`.

    Returns:
        The data; the empty bundle is alternative 0.

    Raises:
        ValueError: bundles that are no 0/1 rows, that come twice, or without the empty one in row 0; a pair that no
            menu offers; a size that no bundle has; a name with a plus in it.

    Source: specification of paper 003, section (g).

    Example:
        >>> data = bundle_choices([[0, 0], [1, 0], [0, 1], [1, 1]], [3, 0, 1], ("tea", "milk"), features={"price": [2, 1]})
        >>> data.alternatives, data.columns
        (('nothing', 'tea', 'milk', 'tea+milk'), ('tea', 'milk', 'tea+milk', 'price'))
        >>> data.column("price")[0].tolist()
        [0.0, 2.0, 1.0, 3.0]
    """
    rows, goods = np.asarray(bundles), tuple(goods)
    _check_rows(rows, goods)
    has = rows.astype(float)
    taken = np.asarray(chosen)
    require(taken.ndim == 1, f"`chosen` must be [situations], a row of `bundles` each; got shape {taken.shape}.")
    menus = np.ones((len(taken), len(has)), bool) if available is None else np.asarray(available, bool)
    require(
        menus.shape == (len(taken), len(has)),
        f"`available` must be [{len(taken)} situations, {len(has)} bundles]; got {menus.shape}.",
    )
    offered = has[np.unique(np.nonzero(menus)[1])]
    two = _pairs(pairs, goods, offered)
    together = [has[:, goods.index(a)] * has[:, goods.index(b)] for a, b in two]
    every = len(two) == sum(bool((offered[:, i] * offered[:, j]).any()) for i, j in combinations(range(len(goods)), 2))
    counts = has.sum(1).astype(int)
    large = _sizes(sizes, counts, 3 if every else 2)
    columns = [*has.T, *together, *((counts == s).astype(float) for s in large)]
    names = (*goods, *(f"{a}+{b}" for a, b in two), *(f"size:{s}" for s in large), *(features or {}))
    shape = (len(taken), len(has))
    found = [np.broadcast_to(c, shape) for c in columns]
    found += [_summed(name, z, has, len(taken)) for name, z in (features or {}).items()]
    given: Any = {
        "person": person,
        "weight": weight if weight is None else np.asarray(weight, float),
        "situations": situations,
        "people": people,
    }
    given = {name: np.asarray(x) for name, x in given.items() if x is not None}
    return ChoiceData(
        attributes=np.stack(found, -1),
        chosen=taken,
        alternatives=tuple(_name(row, goods) for row in has),
        columns=names,
        available=menus,
        source=source,
        **given,
    )


def _name(row: np.ndarray, goods: tuple[str, ...]) -> str:
    return "+".join(g for g, there in zip(goods, row, strict=True) if there) or NOTHING


def _check_rows(rows: np.ndarray, goods: tuple[str, ...]) -> None:
    odd = [g for g in goods if "+" in g or g.startswith("size:") or g == NOTHING]
    require(not odd, f"`goods` may not be called {odd}: pairs, sizes and the empty bundle are named so; rename them.")
    twice = [g for i, g in enumerate(goods) if g in goods[:i]]
    require(not twice, f"`goods` names {twice[:1]} twice: keep one.")
    require(
        rows.ndim == 2 and rows.shape[1] == len(goods),
        f"`bundles` must be [bundles, {len(goods)} goods]; got shape {rows.shape}.",
    )
    bad = np.argwhere(~np.isin(rows, (0, 1)))
    require(
        len(bad) == 0,
        f"`bundles` must be 0 or 1; row {bad[0][0] if len(bad) else 0} is not: give each unit of a good a column.",
    )
    require(len(rows) and not rows[0].any(), "`bundles` must have the empty bundle in row 0: put zeros there.")
    seen: dict[tuple, int] = {}
    for i, row in enumerate(rows):
        before = seen.setdefault(tuple(row.tolist()), i)
        require(before == i, f"`bundles` has the same bundle in rows {before} and {i}: keep one.")


def _pairs(pairs: Any, goods: tuple[str, ...], offered: np.ndarray) -> list[tuple[str, str]]:
    both = lambda a, b: bool((offered[:, goods.index(a)] * offered[:, goods.index(b)]).any())
    if isinstance(pairs, str):
        require(pairs == "all", f'`pairs` must be "all" or a list of pairs, got {pairs!r}.')
        return [pair for pair in combinations(goods, 2) if both(*pair)]
    found = []
    for pair in pairs:
        two = tuple(pair.split("+")) if isinstance(pair, str) else tuple(pair)
        require(
            len(two) == 2 and two[0] != two[1] and set(two) <= set(goods),
            f"`pairs` must name two of the goods {list(goods)} each, got {pair!r}.",
        )
        two = tuple(sorted(two, key=goods.index))
        require(two not in found, f"`pairs` names `{'+'.join(two)}` twice: keep one.")
        require(
            both(*two),
            f"No menu offers a bundle with the pair `{'+'.join(two)}`, so its complement cannot be told: drop it from "
            "`pairs`.",
        )
        found.append(two)
    return found


def _sizes(sizes: bool | Sequence[int], counts: np.ndarray, least: int) -> list[int]:
    if sizes is False:
        return []
    there = sorted(set(counts.tolist()) - {0})
    if sizes is True:
        return [s for s in there if s >= least]
    bad = [s for s in sizes if s not in there]
    require(not bad, f"`sizes` names {bad}, but the bundles have sizes {there}.")
    return sorted(int(s) for s in sizes)


def _summed(name: str, z: Any, has: np.ndarray, situations: int) -> np.ndarray:
    each = np.asarray(z, float)
    shapes = ((has.shape[1],), (situations, has.shape[1]))
    require(each.shape in shapes, f"`features[{name!r}]` must have shape {shapes[0]} or {shapes[1]}; got {each.shape}.")
    return np.broadcast_to(each, shapes[1]) @ has.T
