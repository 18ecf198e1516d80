"""The pure part of tuning: lanes of gradient ascent in free space. It vmaps over restarts and over worlds."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..mechanisms._sharding import over_devices
from ..mechanisms.base import AbstractMechanism
from ..mechanisms.objective import AbstractObjective, Limit, has_surrogate, needs_coins
from ..mechanisms.parameters import from_free, to_free
from ..mechanisms.play import play
from ..models.world import AbstractWorld
from ._limits import MEMORY, Heard, multipliers, onto_bounds, weights

SETTLING = 8  # the last one in so many steps puts the rule onto its limits


class Lane(eqx.Module):
    """One restart's state.

    Attributes:
        free: learned values in free space, by path.
        moments: the optimiser's.
        slopes: `[goals, parameters]` running mean gradients of the objective and of each limit.
        norms: `[goals]` running gradient norms, 0 before the first step.
        heard: the limits as they were heard.
        steepest: greatest gradient norm of the Lagrangian so far, in the unit of the objective.
        late: sums over the last steps: gradients, their Gram matrix, count.
        key: of this lane.
    """

    free: dict[Any, Array]
    moments: Any
    slopes: Float[Array, "goals parameters"]
    norms: Float[Array, " goals"]
    heard: Heard
    steepest: Float[Array, ""]
    late: tuple[Float[Array, "goals parameters"], Float[Array, "goals goals"], Float[Array, ""]]
    key: Array

    @property
    def prices(self) -> Float[Array, " limits"]:
        """Shadow prices: what the objective gains per unit of each bound relaxed, from late gradients."""
        total, _, count = self.late
        return multipliers(total / jnp.maximum(count, 1), self.heard.binds)

    @property
    def residual(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Norm of the mean late gradient of the Lagrangian, and its standard error, both relative to the steepest."""
        total, gram, count = self.late
        count = jnp.maximum(count, 1)
        weight = jnp.concatenate([jnp.ones(1, total.dtype), -self.prices])
        mean = jnp.linalg.norm(weight @ total) / count
        variance = jnp.maximum(weight @ gram @ weight / count - mean**2, 0) / count
        scale = jnp.where(self.steepest > 0, self.steepest, 1.0)
        return mean / scale, jnp.sqrt(variance) / scale


class Trainer(eqx.Module):
    """Settings of the ascent. Static ones make the program; the objective's arrays travel as data."""

    objective: AbstractObjective
    limits: tuple[Limit, ...]
    populations: int | None = eqx.field(static=True)
    coins: int = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    rate: float = eqx.field(static=True)
    temperature: tuple[float, float] = eqx.field(static=True)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """Adam with a cosine schedule to zero."""
        return optax.adam(optax.cosine_decay_schedule(self.rate, self.steps))

    def start(self, mechanism: AbstractMechanism, key: Array, lanes: int, spread: float) -> Lane:
        """Lanes around the rule; the first exactly at it."""
        return _start(self, mechanism, key, lanes, spread)

    def rule(self, mechanism: AbstractMechanism, lane: Lane) -> AbstractMechanism:
        """The rule where a lane stands, not yet hardened."""
        return from_free(mechanism, lane.free)

    def chunk(
        self, mechanism: AbstractMechanism, world: AbstractWorld, lanes: Lane, start: Array, size: int, sharding: Any
    ) -> tuple[Lane, dict[str, Array]]:
        """`size` steps of every lane, one compiled program."""
        return _chunk(self, mechanism, world, lanes, start, size, sharding)

    def ascend(self, mechanism, world, lane: Lane, start: Array, size: int, sharding: Any = None):
        """`size` steps of one lane: pure, to be vmapped."""
        return jax.lax.scan(
            lambda lane, i: self._step(mechanism, world, lane, i, sharding), lane, start + jnp.arange(size)
        )

    def _step(self, mechanism, world, lane: Lane, i: Array, sharding: Any):
        part = i / self.steps
        warm, cold = self.temperature
        temperature = warm * (cold / warm) ** part
        key = jax.random.fold_in(lane.key, i)

        def goals(free):
            rule = from_free(mechanism, free)
            soft = rule.soften(temperature)
            plain = soft is rule and rule.harden() is rule  # then the judged rule is on the same runs
            toss = soft.needs_key or self._tosses(training=True) or (plain and self._tosses(training=False))
            runs = play(soft, world, key, self.populations, coins=self.coins if toss else 0, sharding=sharding)
            goal = jnp.stack([self.objective.train(runs), *(limit.train(runs) for limit in self.limits)])
            return goal, (goal, self._excess(runs) if plain else None)

        if self.limits:
            gradients, (values, exact) = jax.jacrev(goals, has_aux=True)(lane.free)
        else:
            gradients, (values, exact) = jax.grad(lambda f: (goals(f)[0][0], goals(f)[1]), has_aux=True)(lane.free)
            gradients = jax.tree.map(lambda g: g[None], gradients)
        _, unravel = ravel_pytree(lane.free)
        rows = jax.vmap(lambda g: ravel_pytree(g)[0])(gradients)
        rows = jnp.where(jnp.isfinite(rows), rows, 0.0)
        slopes, norms = (
            jnp.where(i == 0, now, MEMORY * before + (1 - MEMORY) * now)
            for before, now in ((lane.slopes, rows), (lane.norms, jnp.linalg.norm(rows, axis=1)))
        )
        heard = lane.heard.update(self._listen(mechanism, world, lane, key, values[1:], exact, sharding), i)
        unit = heard.unit(tuple(limit.bound for limit in self.limits))
        weight, heard = weights(slopes, norms, heard, unit)
        ascent = weight @ rows
        updates, moments = self.optimiser.update(unravel(-ascent), lane.moments, lane.free)
        settling = self.steps - max(5, self.steps // SETTLING) if self.limits else self.steps
        move = unravel(onto_bounds(rows, heard, unit, jnp.maximum(i - settling + 1, 1)))
        updates = jax.tree.map(lambda u, m: jnp.where(i < settling, u, m), updates, move)
        late = (i >= ((settling + self.steps) / 2 if self.limits else 0.75 * self.steps)).astype(rows.dtype)
        total, gram, count = lane.late
        lane = Lane(
            jax.tree.map(lambda x, u: x + u.astype(x.dtype), lane.free, updates),
            moments,
            slopes,
            norms,
            heard,
            jnp.maximum(lane.steepest, norms[0] * jnp.linalg.norm(ascent)),
            (total + late * rows, gram + late * rows @ rows.T, count + late),
            lane.key,
        )
        return lane, {"value": values[0], "excess": heard.excess}

    def _listen(self, mechanism, world, lane, key, relaxed, exact, sharding):
        """The excess that is heard: the limits as the hardened rule meets them.

        Unless a limit has a surrogate, it must hold before hardening too: hardening may repair it at a price that no
        gradient sees (a certified ball shrinks).
        """
        if not self.limits:
            return jnp.zeros(0, lane.steepest.dtype)
        if exact is None:
            hard = from_free(mechanism, lane.free).harden()
            toss = self.coins if hard.needs_key or self._tosses(training=False) else 0
            exact = self._excess(play(hard, world, key, self.populations, coins=toss, sharding=sharding))
        proxy = jnp.asarray([has_surrogate(limit) for limit in self.limits])
        return jnp.where(proxy, exact, jnp.maximum(exact, relaxed))

    def _excess(self, runs):
        if not self.limits:
            return jnp.zeros(0, runs.weight.dtype)
        return jax.lax.stop_gradient(jnp.stack([limit.excess(runs) for limit in self.limits]))

    def _tosses(self, training: bool) -> bool:
        return any(needs_coins(goal, training) for goal in (self.objective, *self.limits))


@eqx.filter_jit
def _start(trainer: Trainer, mechanism, key, lanes: int, spread) -> Lane:
    free = to_free(mechanism)
    leaves, structure = jax.tree.flatten(free)
    noise = [jax.random.normal(jax.random.fold_in(key, i), (lanes, *x.shape), x.dtype) for i, x in enumerate(leaves)]
    moved = [x[None] + (spread * z).at[0].set(0) for x, z in zip(leaves, noise, strict=True)]
    free = jax.tree.unflatten(structure, moved)
    dtype, goals, parameters = leaves[0].dtype, 1 + len(trainer.limits), sum(x.size for x in leaves)
    zero, rows = jnp.zeros((), dtype), jnp.zeros((goals, parameters), dtype)
    one = lambda f: Lane(
        f,
        trainer.optimiser.init(f),
        rows,
        jnp.zeros(goals, dtype),
        Heard.none(len(trainer.limits), dtype),
        zero,
        (rows, jnp.zeros((goals, goals), dtype), zero),
        key,
    )
    return jax.vmap(one)(free)


@eqx.filter_jit
def _chunk(trainer: Trainer, mechanism, world, lanes: Lane, start, size: int, sharding):
    # Devices share out the lanes; a single lane shares out its populations instead.
    apart, together = (None, sharding) if lanes.steepest.shape[0] == 1 else (sharding, None)
    ascend = lambda lanes, s: jax.vmap(lambda lane: s[0].ascend(s[1], s[2], lane, s[3], size, together))(lanes)
    lanes, trace = over_devices(ascend, lanes, (trainer, mechanism, world, start), apart)
    return lanes, {name: jnp.moveaxis(x, 0, 1) for name, x in trace.items()}
