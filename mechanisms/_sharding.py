"""Splitting a leading axis over devices, each running its own program on its part.

Rules contain solver loops whose length depends on the numbers. Left to automatic partitioning, every turn of such a
loop would ask all devices whether anyone still works; here devices never talk until the axis is put together again.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jax.sharding import NamedSharding, PartitionSpec


def over_devices(fn: Callable[[Any, Any], Any], batched: Any, shared: Any, sharding: NamedSharding | None) -> Any:
    """`fn(batched, shared)`, with the first axis of `batched` and of the result split over the devices of `sharding`.

    Args:
        fn: maps a batch; every array it returns keeps the batch as first axis.
        batched: pytree of arrays with that axis.
        shared: pytree that every device needs whole; what is not an array is static.
        sharding: of the axis; None is one device, and no splitting.
    """
    if sharding is None:
        return fn(batched, shared)
    whole, static = eqx.partition(shared, eqx.is_array)
    split = PartitionSpec(sharding.mesh.axis_names[0])
    piece = lambda part, everything: fn(part, eqx.combine(everything, static))
    mapped = jax.shard_map(
        piece, mesh=sharding.mesh, in_specs=(split, PartitionSpec()), out_specs=split, check_vma=False
    )
    return mapped(batched, whole)
