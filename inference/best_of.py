"""Choosing among finitely many rules: orders, assignments, designs that no gradient connects."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import pandas as pd
from jaxtyping import PRNGKeyArray

from ..mechanisms.base import AbstractMechanism
from ..mechanisms.objective import AbstractObjective, Limit
from ..models.world import AbstractWorld
from ._devices import Devices
from ._judge import Judge, populations_axis
from ._precision import Precision, cast, hardened, precision_scope, to_numpy
from .host import as_mechanism
from .tuned import Judged


class Best(eqx.Module):
    """The result of `best_of`.

    Attributes:
        name: of the best rule. `mechanism`: the rule, hardened.
        judged: every rule by name, on the same populations, none of which served to choose.
    """

    name: str = eqx.field(static=True)
    mechanism: AbstractMechanism
    judged: dict[str, Judged]

    def table(self) -> pd.DataFrame:
        """One line a rule, best first: value, standard error, and the paired difference to the best with its error."""
        best = self.judged[self.name]
        rows = {}
        for name, judged in self.judged.items():
            short, error = best.gain_over(judged)
            rows[name] = {
                "value": float(judged.value),
                "error": float(judged.error),
                "short of the best": short,
                "its error": error,
                "breach of limits": judged.breach,
            }
        return pd.DataFrame.from_dict(rows, orient="index").sort_values(["breach of limits", "short of the best"])

    def __repr__(self) -> str:
        return self.table().to_string()


def best_of(
    rules: Mapping[str, Any],
    objective: AbstractObjective,
    world: AbstractWorld,
    *,
    key: PRNGKeyArray,
    subject_to: Sequence[Limit] = (),
    populations: int | None = 256,
    coins: int = 1,
    precision: Precision = "float64",
    devices: Devices = "auto",
) -> Best:
    """The best of several rules, chosen on one set of populations and reported on another.

    For what has no gradient: who picks first, which component gets which items. All rules meet the same people, so their
    differences carry little noise; the choice and the report do not share them, so the best is not the luckiest.

    Args:
        rules: by name; mechanisms or plain callables.
        objective: what to raise. `subject_to`: limits; the least in breach wins.
        world: who comes.
        key: all randomness.
        populations: how many for each of the two sets; None takes the whole distribution.
        coins: realisations per population where an objective looks at them.
        precision: inside this call only.
        devices: shard populations over so many devices.

    Returns:
        A `Best`; ties go to the first.

    Raises:
        ValueError: there is no rule, or no population.

    Example:
        >>> import jax, fairhand as fh
        >>> from fairhand.mechanisms import metrics, picking
        >>> from fairhand.models import OwnLaws, Uniform
        >>> world = OwnLaws([Uniform(0.4, 0.6), Uniform()], 30)  # the second agent cares more about which
        >>> orders = {"first": [0, 1], "second": [1, 0]}
        >>> rules = {name: picking.PickR(0.3, order=order) for name, order in orders.items()}
        >>> fh.best_of(rules, fh.mean(metrics.welfare), world, key=jax.random.key(0), populations=32).name
        'second'
    """
    if not rules:
        raise ValueError("`rules` is empty; name at least one rule.")
    if populations is not None and populations < 1:
        raise ValueError(f"`populations` must be at least 1, or None for the whole distribution; got {populations}.")
    with precision_scope(precision) as dtype:
        exact = {name: hardened(cast(as_mechanism(rule), dtype)) for name, rule in rules.items()}
        objective, limits = cast((objective, tuple(subject_to)), dtype)
        hear = Judge(cast(world, dtype), objective, limits, populations, coins, populations_axis(devices, populations))
        choosing, telling = jax.random.split(key)
        heard = {name: hear(rule, choosing) for name, rule in exact.items()}
        best = next(iter(heard))
        for name, judged in heard.items():
            best = name if judged.better_than(heard[best]) else best
        result = Best(best, exact[best], {name: hear(rule, telling) for name, rule in exact.items()})
    return to_numpy(result)
