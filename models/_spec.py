"""How a specification is read."""

from collections.abc import Mapping
from typing import Any

from ._check import require


def fields_of(spec: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Arguments of a model out of what `to_spec` wrote; refuses another model and keys it does not know."""
    fields = {k: v for k, v in spec.items() if k != "model"}
    require(
        spec.get("model", kind.__name__) == kind.__name__,
        f"the specification is of model {spec.get('model')!r}, not of `{kind.__name__}`.",
    )
    unknown = sorted(set(fields) - set(getattr(kind, "__dataclass_fields__", {})))
    require(not unknown, f"the specification has unknown keys {unknown}: drop them or correct their names.")
    return fields
