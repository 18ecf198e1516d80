"""Leading axes (draws, populations, restarts) over a mesh of devices. One device is the same program, unsharded."""

from typing import Any, Literal

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Devices = Literal["auto"] | int


def leading_axis(devices: Devices, size: int | None = None) -> NamedSharding | None:
    """A sharding of a leading axis, or None for one device.

    Args:
        devices: how many; `"auto"` takes every accelerator, and one device on a CPU, where XLA threads by itself.
        size: length of the axis, which must be a multiple of the devices used; None leaves that to the caller.

    Raises:
        ValueError: more devices than there are, or an axis they do not divide.
    """
    there = jax.devices()
    if devices == "auto":
        devices = 1 if there[0].platform == "cpu" else len(there)
        if size is not None and size % devices:
            devices = 1
    if not isinstance(devices, int) or not 1 <= devices <= len(there):
        raise ValueError(
            f"`devices` must be 'auto' or between 1 and {len(there)}, got {devices!r}. On a CPU, set the number before JAX "
            "starts: XLA_FLAGS=--xla_force_host_platform_device_count=N."
        )
    if size is not None and size % devices:
        raise ValueError(f"An axis of {size} cannot be split over `devices={devices}`; choose a multiple.")
    if devices == 1:
        return None
    import numpy as np

    return NamedSharding(Mesh(np.array(there[:devices]), ("batch",)), PartitionSpec("batch"))


def place(tree: Any, sharding: NamedSharding | None) -> Any:
    """Put every leaf of `tree` on the mesh along its first axis."""
    return tree if sharding is None else jax.tree.map(lambda x: jax.device_put(x, sharding), tree)
