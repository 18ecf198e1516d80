"""Rules to be caught, and the ceiling nobody may pass."""

from typing import Any

import equinox as eqx

from fairhand.mechanisms import AbstractMechanism, Allocation, Feasible


class Claiming(AbstractMechanism):
    """`rule`, promising `claims` whether it keeps them or not."""

    rule: AbstractMechanism
    claims: tuple[Any, ...]

    def allocate(self, reported, key=None):
        return self.rule.allocate(reported, key)

    @property
    def promises(self) -> tuple[Any, ...]:
        return self.claims


class Inflated(AbstractMechanism):
    """`rule`, giving `factor` times the shares there are."""

    rule: AbstractMechanism
    factor: float = eqx.field(static=True, default=1.2)

    def allocate(self, reported, key=None):
        return Allocation(self.factor * self.rule.allocate(reported, key).shares)

    @property
    def promises(self) -> tuple[Any, ...]:
        return (Feasible(),)


class FirstBest(AbstractMechanism):
    """The greatest welfare there is, by people who know all values."""

    def allocate(self, reported, key=None):
        del key
        return Allocation(reported.supply.best(reported.values))
