"""The exact rule on given populations, by one compiled program for each kind of rule."""

import equinox as eqx
from jaxtyping import PRNGKeyArray

from ..mechanisms.base import AbstractMechanism
from ..mechanisms.objective import needs_coins
from ..mechanisms.play import play
from ._devices import Devices, leading_axis
from .tuned import Judged


class Judge:
    """The exact rule on given populations: a program apart from training, compiled once per kind of rule."""

    def __init__(self, world, objective, limits, populations, coins, sharding):
        self.setting = (world, objective, limits, populations, coins, sharding)

    def __call__(self, mechanism: AbstractMechanism, key: PRNGKeyArray) -> Judged:
        world, objective, limits, populations, coins, sharding = self.setting
        listens = mechanism.needs_key or _listens(objective, limits)
        return _judge(mechanism, key, world, objective, limits, populations, coins if listens else 0, sharding)


@eqx.filter_jit
def _judge(mechanism, key, world, objective, limits, populations, coins, sharding) -> Judged:
    runs = play(mechanism, world, key, populations, coins=coins, sharding=sharding)
    return Judged.of(runs, objective, limits)


def _listens(objective, limits) -> bool:
    return needs_coins(objective) or any(needs_coins(limit) for limit in limits)


def populations_axis(devices: Devices, populations: int | None):
    return None if populations is None else leading_axis(devices, populations)
