"""The posterior of the best rule: a designer per draw, what committing now loses, and what knowing would be worth."""

import os
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..mechanisms._sharding import over_devices
from ..mechanisms.base import AbstractMechanism
from ..mechanisms.objective import AbstractObjective, Limit, error_of, influence, needs_coins
from ..mechanisms.parameters import parameters
from ..mechanisms.play import play
from ..models.world import AbstractWorld, Draws
from ._devices import Devices, leading_axis
from ._loop import chunk_size, digest, loop
from ._precision import Precision, cast, hardened, precision_scope
from ._train import Trainer

World = AbstractWorld


class Designer(eqx.Module):
    """A pure way from a world to a rule, by gradient from a given rule; it vmaps over worlds.

    Any callable `(world, key) -> mechanism` may take its place, such as a paper's closed form.

    Args:
        rule: where each design starts (warm start at the committed rule).
        objective: what to raise, e.g. `tuned.priced(objective, limits)`.
        subject_to: limits, met in every draw by itself.
        steps, populations, coins, rate, temperature: as in `tune`.
    """

    rule: AbstractMechanism
    objective: AbstractObjective
    subject_to: tuple[Limit, ...] = ()
    steps: int = eqx.field(static=True, default=60)
    populations: int | None = eqx.field(static=True, default=16)
    coins: int = eqx.field(static=True, default=1)
    rate: float = eqx.field(static=True, default=0.05)
    temperature: tuple[float, float] = eqx.field(static=True, default=(0.1, 0.02))

    def __call__(self, world: World, key: PRNGKeyArray) -> AbstractMechanism:
        """The rule designed for `world`, hardened."""
        trainer = Trainer(
            self.objective,
            tuple(self.subject_to),
            self.populations,
            self.coins,
            self.steps,
            self.rate,
            self.temperature,
        )
        lane = jax.tree.map(lambda x: x[0], trainer.start(self.rule, key, 1, 0.0))
        lane, _ = trainer.ascend(self.rule, world, lane, jnp.asarray(0), self.steps)
        return trainer.rule(self.rule, lane).harden()


class Designs(eqx.Module):
    """What each draw's own best rule would have been and done.

    Attributes:
        parameters: learned values by name, `[designs, ...]`.
        best, committed: `[designs]`, the objective in that draw's world, on the same fresh populations.
        regret: `[designs]`, what committing loses in that draw, `regret_error` its Monte-Carlo error.
        draws: `[designs]`, which draws were designed for.
    """

    parameters: dict[str, Array | np.ndarray]
    best: Float[Array | np.ndarray, " designs"]
    committed: Float[Array | np.ndarray, " designs"]
    regret: Float[Array | np.ndarray, " designs"]
    regret_error: Float[Array | np.ndarray, " designs"]
    draws: Int[Array | np.ndarray, " designs"]
    status: str = eqx.field(static=True, default="")

    @property
    def perfect_information(self) -> tuple[float, float]:
        """Expected value of perfect information, per unit of the objective, and its standard error over designs."""
        n = self.regret.shape[0]
        error = float(self.regret.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
        return float(self.regret.mean()), error


def designs(
    committed: AbstractMechanism,
    designer: Callable[[World, PRNGKeyArray], AbstractMechanism],
    world: Draws,
    objective: AbstractObjective,
    *,
    key: PRNGKeyArray,
    num: int = 16,
    judge: int = 64,
    coins: int = 1,
    chunk: int = 4,
    precision: Precision = "float64",
    devices: Devices = "auto",
    progress: bool = True,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
) -> Designs:
    """Design a rule for each of `num` draws and compare it with the committed one in that draw's world.

    A design replaces the committed rule in its draw only where it does better on validation populations; both are then
    judged on others, so regret is not inflated by choosing.

    Args:
        committed: the rule one would run now.
        designer: world and key to rule, e.g. `Designer(committed, objective)`.
        world: `Draws` of worlds; `num` of them, evenly spaced.
        objective: judged per draw.
        judge: populations per draw for validation, and again for judging. `coins`: realisations of each.
        chunk: designs per compiled call.

    Raises:
        ValueError: `world` is not `Draws`: without a posterior there is nothing to know better.
    """
    if not isinstance(world, Draws):
        raise ValueError("`world` must be `Draws` of worlds (a posterior): one known world leaves nothing to learn.")
    with precision_scope(precision) as dtype:
        some = cast(world.thin(num), dtype)
        held, designer, objective = cast((committed, designer, objective), dtype)
        held = hardened(held)
        sharding = leading_axis(devices)
        size = chunk_size(some.num, min(chunk, some.num), 1 if sharding is None else sharding.num_devices)
        toss = coins if held.needs_key or needs_coins(objective) else 0

        def advance(state, start):
            index = jnp.arange(start, start + size) % some.num
            return state, _design(held, designer, some, index, key, objective, judge, toss, sharding)

        looped = loop(
            advance, (), total=some.num, chunk=size, label="design per draw", progress=progress, checkpoint=checkpoint,
            resume=resume, fingerprint=digest(held, designer, some, objective, key, num, judge, coins, precision),
        )  # fmt: skip
    if not looped.output:
        raise KeyboardInterrupt("Interrupted before the first design was done; nothing to return.")
    learned: dict[str, Any] = {name[6:]: x for name, x in looped.output.items() if name.startswith("field ")}
    rest: dict[str, Any] = {name: x for name, x in looped.output.items() if not name.startswith("field ")}
    return Designs(learned, draws=np.arange(looped.done), status=looped.status, **rest)


@eqx.filter_jit
def _design(committed, designer, world, index, key, objective, judge: int, coins: int, sharding) -> dict[str, Array]:
    def one(i, shared):
        committed, designer, world, key, objective = shared
        there = world.one(i)
        train, validate, report = jax.random.split(jax.random.fold_in(key, i), 3)
        rule = designer(there, train)
        hear = lambda m, k: play(m, there, k, judge, coins=coins)
        better = objective(hear(rule, validate)) > objective(hear(committed, validate))
        rule = jax.tree.map(lambda a, b: jnp.where(better, a, b) if eqx.is_array(a) else a, rule, committed)
        runs, held = hear(rule, report), hear(committed, report)
        best, now = objective(runs), objective(held)
        paired = influence(objective, runs) - influence(objective, held)
        fields = {f"field {name}": x for name, x in parameters(rule).items()}
        return {"best": best, "committed": now, "regret": best - now, "regret_error": error_of(paired, runs), **fields}

    each = lambda index, shared: jax.vmap(lambda i: one(i, shared))(index)
    return over_devices(each, index, (committed, designer, world, key, objective), sharding)
