"""Carrying uncertainty through a rule: metric by posterior draw, population and coin."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..mechanisms._sharding import over_devices
from ..mechanisms.base import AbstractMechanism
from ..mechanisms.metrics import name_of
from ..mechanisms.objective import AbstractObjective, needs_coins
from ..mechanisms.play import play
from ..models.world import AbstractWorld, Draws
from ._devices import Devices, leading_axis
from ._loop import chunk_size, digest, loop
from ._precision import Precision, cast, hardened, precision_scope
from .host import as_mechanism
from .outcome import Outcome

Question = Any  # a metric, or an objective


def propagate(
    mechanism: Any,
    world: AbstractWorld,
    metrics: Sequence[Question] | Mapping[str, Question],
    *,
    key: PRNGKeyArray,
    populations: int = 8,
    coins: int = 1,
    precision: Precision = "float64",
    devices: Devices = "auto",
    chunk: int = 8,
    progress: bool = True,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
) -> Outcome:
    """What a rule does, and how sure we are: every metric for every draw, population and coin.

    The same key gives every rule the same populations and coins, so rules compare pair by pair.

    Args:
        mechanism: a rule, a mapping of rules by name, or a plain Python callable `values -> shares` (`from_callable`).
        world: `Draws` of worlds (a posterior), or one world, which counts as one draw.
        metrics: metrics and objectives, or a mapping that names them. An objective gives one number a draw, judged on
            that draw's populations; a metric a number (or vector) a run; `ex_post(metric)` one a coin.
        key: all randomness.
        populations: per draw; at least 2 separate knowledge from sampling.
        coins: realisations per population, where something is judged ex post.
        precision: inside this call only.
        devices: shard draws over so many devices.
        chunk: draws per compiled call; memory grows with it.
        progress: show a bar in a terminal.
        checkpoint: file for resuming; `resume=True` continues from it.

    Returns:
        An `Outcome`: a dataset with dimensions rule, draw, population, coin, and summaries of it.

    Raises:
        ValueError: a bad argument, by name.
    """
    rules = _rules(mechanism)
    questions = _questions(metrics)
    if populations < 1 or coins < 1:
        raise ValueError(f"`populations` and `coins` must be at least 1, got {populations} and {coins}.")
    listens = any(needs_coins(q) for q in questions.values())
    data: dict[str, dict[str, np.ndarray]] = {}
    status, seconds = [], [0.0, 0.0]
    with precision_scope(precision) as dtype:
        world = cast(world, dtype)
        draws = world.num if isinstance(world, Draws) else 1
        sharding = leading_axis(devices) if draws > 1 else None
        size = chunk_size(draws, min(chunk, draws), 1 if sharding is None else sharding.num_devices)
        named = tuple(questions.items())
        for name, rule in rules.items():
            held = hardened(cast(rule, dtype))

            def advance(state, start, held=held):
                index = jnp.arange(start, start + size) % draws
                toss = coins if listens or held.needs_key else 0
                return state, _chunk(held, world, index, key, named, populations, toss, sharding)

            looped = loop(
                advance,
                (),
                total=draws,
                chunk=size,
                label=f"propagate {name}",
                progress=progress,
                checkpoint=None if checkpoint is None else f"{checkpoint}.{_safe(name)}",
                resume=resume,
                fingerprint=digest(held, world, key, named, populations, coins, precision),
            )
            data[name] = looped.output
            seconds = [seconds[0] + looped.first_seconds, seconds[1] + looped.rest_seconds]
            status += _status(name, rule, looped)
            if looped.interrupted:
                break
    return Outcome.of(data, questions, tuple(status), tuple(seconds))


@eqx.filter_jit
def _chunk(mechanism, world, index, key, questions, populations: int, coins: int, sharding) -> dict[str, jax.Array]:
    """Every question on every draw of one chunk."""

    def draw(i, shared):
        mechanism, world, questions, key = shared
        one = world.one(i) if isinstance(world, Draws) else world
        runs = play(mechanism, one, jax.random.fold_in(key, i), populations, coins=coins)
        out = {"supply excess": runs.excess, "unsolved": (~runs.solved).astype(int)}
        if runs.realised_excess is not None:
            out["realised excess"] = runs.realised_excess
        for name, question in questions:
            out[name] = question(runs) if isinstance(question, AbstractObjective) else runs.each_coin(question)
        return out

    each = lambda index, shared: jax.vmap(lambda i: draw(i, shared))(index)
    return over_devices(each, index, (mechanism, world, questions, key), sharding)


def _rules(mechanism: Any) -> dict[str, AbstractMechanism]:
    from .tuned import Tuned

    if isinstance(mechanism, Mapping):
        if not mechanism:
            raise ValueError("`mechanism` is an empty mapping; give at least one rule.")
        return {str(name): _one(rule) for name, rule in mechanism.items()}
    return (
        {"rule": _one(mechanism)}
        if not isinstance(mechanism, Tuned)
        else {
            "start": mechanism.start,
            "tuned": mechanism.mechanism,
        }
    )


def _one(rule: Any) -> AbstractMechanism:
    from .tuned import Tuned

    return as_mechanism(rule.mechanism if isinstance(rule, Tuned) else rule)


def _questions(metrics: Sequence[Question] | Mapping[str, Question]) -> dict[str, Question]:
    if not isinstance(metrics, Mapping):
        metrics = {q.name if isinstance(q, AbstractObjective) else name_of(q): q for q in metrics}
    if not metrics:
        raise ValueError("`metrics` is empty; ask at least one question, e.g. `[metrics.mean_utility]`.")
    for name, question in metrics.items():
        if not callable(question):
            raise ValueError(f"`metrics[{name!r}]` must be a metric or an objective, got {type(question).__name__}.")
    return dict(metrics)


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)


def _status(name: str, rule: Any, looped: Any) -> list[str]:
    found = [f"{name}: {looped.status}"] if looped.status else []
    if looped.output:
        unsolved = int(np.sum(looped.output["unsolved"]))
        if unsolved:
            found.append(
                f"{name}: allocations of {unsolved} of {looped.done} draws were not solved to tolerance; "
                "their numbers are kept, read them with care."
            )
        found += getattr(rule, "failures", lambda: [])()
    return found
