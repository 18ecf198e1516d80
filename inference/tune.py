"""Tuning the numbers of a rule by gradient, and saying honestly what came of it."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..mechanisms.base import AbstractMechanism
from ..mechanisms.objective import AbstractObjective, Limit, has_surrogate, needs_coins
from ..mechanisms.parameters import check_support, supports
from ..mechanisms.play import play
from ..models.world import AbstractWorld
from ._devices import Devices, leading_axis
from ._judge import Judge, populations_axis
from ._loop import chunk_size, digest, loop
from ._precision import Precision, cast, hardened, is_exact, precision_scope, to_numpy
from ._train import Trainer
from .host import as_mechanism
from .tuned import Tuned

FRESH = 1_000_003  # keys of validation and of the report are folded away from those of training


def tune(
    mechanism: AbstractMechanism,
    objective: AbstractObjective,
    world: AbstractWorld,
    *,
    key: PRNGKeyArray,
    subject_to: Sequence[Limit] = (),
    steps: int = 200,
    restarts: int = 1,
    populations: int | None = 32,
    coins: int = 1,
    judge: int = 4,
    rate: float = 0.05,
    temperature: tuple[float, float] = (0.3, 0.02),
    spread: float = 0.5,
    baselines: Mapping[str, Any] | None = None,
    precision: Precision = "float64",
    devices: Devices = "auto",
    progress: bool = True,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
) -> Tuned:
    """Move a rule's learned fields to raise `objective` in `world`, within limits; never return less than was given.

    Gradient ascent (Adam) on softened rules over sampled populations. Objective and limits are scaled by their own
    gradients, so units do not matter. Multipliers listen to the exact rule while gradients come from its relative
    (proxy-Lagrangian, Cotter et al. 2019). Of all restarts and the rule as given, the best **hardened** rule on
    validation populations that meets the limits is kept; it is reported on populations nobody has seen.

    Args:
        mechanism: the rule, with `learned` fields; also the incumbent that the result is compared with.
        objective: what to raise. `subject_to`: limits such as `mean(crowding) <= 0.05`.
        world: who comes; `Draws` of worlds (a posterior) is their mixture.
        key: all randomness comes from it.
        steps: gradient steps, rounded up to whole chunks. `rate`: Adam's first step size in free space, cosine to 0.
        restarts: starting points, the first at the rule itself; `spread`: standard deviation of the others around it.
        populations: drawn afresh at each step; None uses `world.profiles()`, the whole distribution.
        coins: realisations per population where an objective looks at them.
        judge: validation and report use this many times `populations`.
        temperature: of the softened rule, first and last, geometric.
        baselines: other rules by name (callables too), hardened and judged on the same fresh populations.
        precision: `"float64"` or `"float32"`, inside this call only.
        devices: shard restarts (or, with fewer, populations) over so many devices.
        progress: show a bar in a terminal.
        checkpoint: file to keep the state in; `resume=True` continues from it.

    Returns:
        A `Tuned`: the hardened rule, its exact value beside the start and the baselines, slack and shadow price of
        every limit, hardening gap, residual, and a status in words.

    Raises:
        ValueError: nothing to learn, a learned value outside its support, or a bad argument, by name.

    Example:
        >>> import jax, fairhand as fh
        >>> from fairhand.models import Independent, Items, Uniform
        >>> from fairhand.mechanisms import mean, metrics
        >>> from fairhand.mechanisms.pseudomarket import TokenPrices  # doctest: +SKIP
    """
    limits = tuple(subject_to)
    _check(mechanism, objective, limits, steps, restarts, populations, coins, judge, rate, temperature)
    with precision_scope(precision) as dtype:
        given, world = cast(mechanism, dtype), cast(world, dtype)
        objective, limits = cast((objective, limits), dtype)
        size = chunk_size(steps, 25)
        trainer = Trainer(objective, limits, populations, coins, -(-steps // size) * size, rate, temperature)
        lanes = trainer.start(given, jax.random.fold_in(key, 0), restarts, spread)
        sharding = leading_axis(devices, restarts) if restarts > 1 else populations_axis(devices, populations)
        looped = loop(
            lambda state, start: trainer.chunk(given, world, state, jnp.asarray(start), size, sharding),
            lanes,
            total=trainer.steps,
            chunk=size,
            label="tune",
            progress=progress,
            checkpoint=checkpoint,
            resume=resume,
            fingerprint=digest(given, world, key, trainer, restarts, spread, precision),
        )
        candidates = [trainer.rule(given, jax.tree.map(lambda x, i=i: x[i], looped.state)) for i in range(restarts)]
        many = None if populations is None else judge * populations
        heard = None if sharding is None else populations_axis(sharding.num_devices, many)
        hear = Judge(world, objective, limits, many, coins, heard)
        validation, report = (jax.random.fold_in(key, FRESH + i) for i in range(2))
        relaxed = [given, *candidates]
        exact = [hardened(rule) for rule in relaxed]
        best, forbidden = _choose(exact, hear, validation)
        others = {name: hardened(cast(as_mechanism(rule), dtype)) for name, rule in (baselines or {}).items()}
        result = _report(relaxed, exact, best, forbidden, others, hear, report, trainer, looped)
    return to_numpy(result)


@eqx.filter_jit
def _soft_value(mechanism, key, world, objective, populations, coins):
    return objective.train(play(mechanism, world, key, populations, coins=coins))


def _choose(rules, hear: Judge, key) -> tuple[int, bool]:
    """Index of the best rule on validation populations (0 is the rule as given); whether limits forbade a better one."""
    heard = [hear(rule, key) for rule in rules]
    best = 0
    for i in range(1, len(heard)):
        if heard[i].better_than(heard[best]):
            best = i
    return best, any(h.breach > heard[best].breach and h.value > heard[best].value for h in heard)


def _report(relaxed, exact, best: int, forbidden: bool, baselines, hear: Judge, key, trainer: Trainer, looped) -> Tuned:
    """Start, choice and baselines on fresh populations; a choice that does no better there is dropped for the start."""
    started, judged = hear(exact[0], key), hear(exact[best], key)
    kept = best if judged.better_than(started) else 0
    world, objective, _, populations, coins, _ = hear.setting
    if is_exact(relaxed[kept]) and not has_surrogate(objective):
        gap = jnp.zeros_like(started.value)
    else:
        soft = relaxed[kept].soften(trainer.temperature[1])
        toss = coins if soft.needs_key or needs_coins(objective, training=True) else 0
        gap = _soft_value(soft, key, world, objective, populations, toss) - (judged if kept else started).value
    lane = jax.tree.map(lambda x: x[max(best - 1, 0)], looped.state)
    return Tuned.of(
        mechanism=exact[kept],
        start=exact[0],
        exact=judged if kept else started,
        started=started,
        baselines={name: hear(rule, key) for name, rule in baselines.items()},
        gap=gap,
        lane=lane,
        losses=looped.output.get("value", np.zeros((0, len(relaxed) - 1))),
        limits=trainer.limits,
        objective=objective,
        looped=looped,
        moved=kept > 0,
        rejected=best > 0 and kept == 0,
        forbidden=forbidden,
        serves_the_sample=world.serves_the_sample,
    )


def _check(mechanism, objective, limits, steps, restarts, populations, coins, judge, rate, temperature) -> None:
    if not isinstance(mechanism, AbstractMechanism):
        raise ValueError(f"`mechanism` must be a fairhand mechanism, got {type(mechanism).__name__}.")
    if not isinstance(objective, AbstractObjective):
        raise ValueError("`objective` must be an objective such as `mean(metrics.welfare)`; a bare metric is not one.")
    for limit in limits:
        if not isinstance(limit, Limit):
            raise ValueError(f"`subject_to` takes limits such as `mean(metric) <= 0.05`, got {type(limit).__name__}.")
    if not supports(mechanism):
        raise ValueError(
            f"`mechanism` has nothing to learn: `{type(mechanism).__name__}` declares no `learned` field. "
            "Use `propagate` and `audit` to judge it as it is."
        )
    check_support(mechanism)
    for name, value in {"steps": steps, "restarts": restarts, "coins": coins, "judge": judge}.items():
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}.")
    if populations is not None and populations < 1:
        raise ValueError(f"`populations` must be at least 1, or None for the whole distribution; got {populations}.")
    if not rate > 0:
        raise ValueError(f"`rate` must be positive, got {rate}.")
    if not all(t > 0 for t in temperature):
        raise ValueError(f"`temperature` must be two positive numbers, first and last, got {temperature}.")
