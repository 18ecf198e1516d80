"""A law of budgets as plain hashable values, so that models which name one can be compared, kept and compiled once."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import laws
from .._check import concrete, require

Plain = tuple[str, tuple[tuple[str, Any], ...]]


def plain(law: Any) -> Plain | None:
    """A law, or what `as_json` made of it, as its name and its numbers; None stays None."""
    if law is None:
        return None
    if isinstance(law, Mapping):
        numbers = law.items()
        return str(law["law"]), tuple((k, _number(k, v)) for k, v in numbers if k != "law")
    if isinstance(law, tuple) and len(law) == 2 and isinstance(law[0], str):
        return law
    if not isinstance(law, laws.AbstractLaw):
        raise ValueError(f"`law` must be a law of `fairhand.models`, or None for the uniform law; got {law!r}.")
    fields = [f.name for f in dataclasses.fields(law)]
    return type(law).__name__, tuple((name, _number(name, getattr(law, name))) for name in fields)


def _number(name: str, x: Any) -> Any:
    found = concrete(x)
    require(
        found is not None and found.ndim <= 1,
        f"`law` must have plain numbers as parameters, but its `{name}` is {x!r}: use `PiecewiseLinear` or `Discrete`.",
    )
    assert found is not None
    return float(found) if found.ndim == 0 else tuple(found.tolist())


def as_law(found: Plain | None) -> Any:
    """The law again."""
    if found is None:
        return None
    kind = getattr(laws, found[0], None)
    require(kind is not None, f"`law` names {found[0]!r}, which is not a law of `fairhand.models`.")
    return kind(**{k: np.asarray(v) if isinstance(v, tuple) else v for k, v in found[1]})  # pyright: ignore


def as_json(found: Plain | None) -> dict[str, Any] | None:
    """Plain values that JSON can hold."""
    return (
        None if found is None else {"law": found[0], **{k: list(v) if isinstance(v, tuple) else v for k, v in found[1]}}
    )
