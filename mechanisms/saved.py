"""A rule as plain JSON and back: class names and numbers, no pickle."""

import dataclasses
import importlib
import json
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .base import AbstractMechanism

ROOT = __package__.rsplit(".", 1)[0] if __package__ else "fairhand"


def rule_to_json(mechanism: AbstractMechanism) -> dict[str, Any]:
    """The rule as values that `json.dumps` takes; numbers are kept to the last bit.

    Raises:
        ValueError: a field that JSON cannot hold, such as a function.
    """
    return _pack(mechanism)


def rule_from_json(spec: dict[str, Any]) -> AbstractMechanism:
    """The rule that `rule_to_json` wrote. Only classes of this library are opened.

    Raises:
        ValueError: not a rule of this library.
    """
    rule = _unpack(spec)
    if not isinstance(rule, AbstractMechanism):
        raise ValueError("`spec` does not describe a mechanism.")
    return rule


def _pack(x: Any) -> Any:
    if isinstance(x, eqx.Module):
        kind = type(x)
        if not kind.__module__.startswith(ROOT + "."):
            raise ValueError(f"`{kind.__name__}` is not a class of this library; save its numbers yourself.")
        fields = {f.name: _pack(getattr(x, f.name)) for f in dataclasses.fields(x) if f.init}
        return {"class": f"{kind.__module__.removeprefix(ROOT + '.')}.{kind.__name__}", "fields": fields}
    if isinstance(x, jax.Array | np.ndarray | np.generic):
        array = np.asarray(x)
        return {"array": array.tolist(), "dtype": str(array.dtype)}
    if isinstance(x, tuple | list):
        return [_pack(item) for item in x]
    try:
        json.dumps(x)
    except TypeError:
        raise ValueError(f"`{type(x).__name__}` cannot be saved as JSON.") from None
    return x


def _unpack(x: Any) -> Any:
    if isinstance(x, list):
        return tuple(_unpack(item) for item in x)
    if not isinstance(x, dict):
        return x
    if "array" in x:
        return np.asarray(x["array"], x["dtype"])
    if "class" not in x:
        return x
    module, _, name = x["class"].rpartition(".")
    try:
        kind = getattr(importlib.import_module(f"{ROOT}.{module}"), name)
    except (ImportError, AttributeError):
        raise ValueError(f"`class` {x['class']!r} is not a rule of this library.") from None
    return kind(**{field: _unpack(value) for field, value in x["fields"].items()})
