"""Trying to refute every promise a rule makes, and saying how hard we tried."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pandas as pd
from jaxtyping import PRNGKeyArray

from ..mechanisms.play import play
from ..mechanisms.promises import AbstractPromise, Feasible, Violation, label_of
from ..models.world import AbstractWorld
from ._devices import Devices, leading_axis
from ._precision import Precision, cast, hardened, precision_scope, to_numpy
from .host import as_mechanism
from .tuned import Tuned

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}


class Finding(eqx.Module):
    """One promise under attack.

    Attributes:
        promise: its name. `promised`: whether the rule makes it, or we only asked.
        refuted: the violation, confirmed on fresh populations where it is estimated, exceeds tolerance and noise.
        amount, error: the violation and its standard error (0 where computed); `searched`: the largest found in search.
        witness: where, by name. `tried`: how hard, in words.
    """

    promise: str = eqx.field(static=True)
    promised: bool = eqx.field(static=True)
    refuted: bool = eqx.field(static=True)
    amount: float = eqx.field(static=True)
    error: float = eqx.field(static=True)
    searched: float = eqx.field(static=True)
    witness: dict[str, Any]
    tried: str = eqx.field(static=True)

    @property
    def verdict(self) -> str:
        """In words."""
        if self.refuted:
            return "REFUTED" if self.promised else "does not hold (never promised)"
        return "not refuted" if self.promised else "holds here, though not promised"


class Audit(eqx.Module):
    """What the audit found. `ok` means that no promise the rule makes was refuted, not that it is proved."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = eqx.field(static=True)
    status: tuple[str, ...] = eqx.field(static=True, default=())

    @property
    def ok(self) -> bool:
        """No promise refuted."""
        return not any(f.refuted and f.promised for f in self.findings)

    def finding(self, promise: str) -> Finding:
        """The finding on a promise, by name."""
        for found in self.findings:
            if found.promise == promise:
                return found
        raise ValueError(f"`promise` {promise!r} was not audited; there are {[f.promise for f in self.findings]}.")

    def table(self) -> pd.DataFrame:
        """One line a promise."""
        rows = [
            {"promise": f.promise, "verdict": f.verdict, "worst": f.amount, "error": f.error, "tried": f.tried}
            for f in self.findings
        ]
        return pd.DataFrame(rows).set_index("promise")

    def __repr__(self) -> str:
        return "\n".join([self.table().to_string(), *self.notes, *self.status])


def audit(
    mechanism: Any,
    world: AbstractWorld,
    *,
    key: PRNGKeyArray,
    populations: int | None = 16,
    coins: int = 4,
    also: Sequence[AbstractPromise] = (),
    precision: Precision = "float64",
    devices: Devices = "auto",
) -> Audit:
    """Attack every promise of a rule with our own populations, lies and keys.

    Feasibility in expectation is attacked whether promised or not. Where a violation is an average over samples, the
    worst lie is searched on one set of populations and confirmed on another, so that it is not the winner's curse that
    refutes: refuted means more than three standard errors above zero on populations that the search never saw.

    Args:
        mechanism: a rule, a `Tuned` (whose provenance counts), or a plain callable `values -> shares`.
        world: who comes; a posterior is attacked on populations of many draws.
        key: all randomness.
        populations: how many are attacked; None takes the whole distribution, and the verdict on averages is exact.
        coins: realisations per population for promises judged ex post.
        also: promises the rule does not make, to see how far it is from keeping them.
        precision: inside this call only.
        devices: shard populations over so many devices.

    Returns:
        An `Audit`.
    """
    tuned = mechanism if isinstance(mechanism, Tuned) else None
    rule = as_mechanism(tuned.mechanism if tuned else mechanism)
    findings = []
    with precision_scope(precision) as dtype:
        held, there = hardened(cast(rule, dtype)), cast(world, dtype)
        promised = tuned.promises if tuned else held.promises
        if not any(isinstance(p, Feasible) and not p.ex_post for p in promised):
            also = (Feasible(), *also)
        sharding = None if populations is None else leading_axis(devices, populations)
        search, fresh = jax.random.split(key)
        for promise, made in [*((p, True) for p in promised), *((p, False) for p in also)]:
            promise = cast(promise, dtype)
            listens = held.needs_key or promise.needs_coins or (isinstance(promise, Feasible) and promise.ex_post)
            toss = coins if listens else 0
            found = _attack(promise, held, there, search, populations, toss, sharding)
            sure = found
            if float(found.error) > 0:
                sure = _confirm(promise, held, there, fresh, populations, toss, sharding, found.witness)
            findings.append(_finding(promise, made, to_numpy(found), to_numpy(sure), populations, precision))
    return Audit(tuple(findings), _notes(tuned, promised), tuple(getattr(rule, "failures", lambda: [])()))


@eqx.filter_jit
def _attack(promise, mechanism, world, key, populations, coins, sharding) -> Violation:
    return promise.violation(play(mechanism, world, key, populations, coins=coins, sharding=sharding))


@eqx.filter_jit
def _confirm(promise, mechanism, world, key, populations, coins, sharding, witness) -> Violation:
    return promise.confirm(play(mechanism, world, key, populations, coins=coins, sharding=sharding), witness)


def _finding(promise, made: bool, found: Violation, sure: Violation, populations, precision) -> Finding:
    amount, error = float(sure.amount), float(np.nan_to_num(sure.error))
    broken = bool(np.isnan(amount)) or amount > TOLERANCE[precision] + 3 * error
    size = "the whole distribution" if populations is None else f"{populations} populations"
    tried = "; ".join(x for x in (size, promise.searched) if x)
    return Finding(label_of(promise), made, broken, amount, error, float(found.amount), sure.witness, tried)


def _notes(tuned: Tuned | None, promised: tuple[AbstractPromise, ...]) -> tuple[str, ...]:
    notes = list(tuned.caveats) if tuned else []
    if not any(p.about_incentives for p in promised):
        notes.append("This rule promises nothing about incentives: pass `also=[DSIC()]` to see what a lie can gain.")
    return tuple(notes)
