"""What tuning came to: numbers with errors, limits with slack and price, and a verdict in words."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..mechanisms.base import AbstractMechanism
from ..mechanisms.objective import AbstractObjective, Limit, error_of, influence
from ..mechanisms.parameters import parameters
from ..mechanisms.play import Runs
from ..mechanisms.promises import AbstractPromise
from ._loop import Looped
from ._train import Lane

SETTLED = 0.05  # of the steepest gradient: a residual below it counts as settled, if it is not noise anyway


class Judged(eqx.Module):
    """The exact rule on sampled populations.

    Attributes:
        value: of the objective; `error`: its standard error; `influence [runs]`: each run's part in it.
        excess: `[limits]`, positive breaks a limit; `excess_error [limits]`.
        outside: the worst supply excess over runs, in units of shares.
        solved: whether every certificate was solved.
    """

    value: Float[Array | np.ndarray, ""]
    error: Float[Array | np.ndarray, ""]
    influence: Float[Array | np.ndarray, " runs"]
    excess: Float[Array | np.ndarray, " limits"]
    excess_error: Float[Array | np.ndarray, " limits"]
    outside: Float[Array | np.ndarray, ""]
    solved: Bool[Array | np.ndarray, ""]
    exact: bool = eqx.field(static=True)

    @classmethod
    def of(cls, runs: Runs, objective: AbstractObjective, limits: tuple[Limit, ...]) -> "Judged":
        """Judge runs; traced."""
        parts = influence(objective, runs)
        errors = [error_of(influence(limit.objective, runs), runs) for limit in limits]
        empty = jnp.zeros(0, runs.weight.dtype)
        return cls(
            objective(runs),
            error_of(parts, runs),
            parts,
            jnp.stack([limit.excess(runs) for limit in limits]) if limits else empty,
            jnp.stack(errors) if limits else empty,
            jnp.max(runs.excess),
            runs.solved,
            runs.exact,
        )

    @property
    def breach(self) -> float:
        """By how much, beyond one standard error, the worst limit is broken; 0 when all are met."""
        over = np.asarray(self.excess) - np.maximum(np.nan_to_num(np.asarray(self.excess_error)), 1e-9)
        return float(np.max(np.append(over, 0.0)))

    def gain_over(self, other: "Judged") -> tuple[float, float]:
        """Difference in value on the same populations, and its paired standard error."""
        n = self.influence.shape[0]
        paired = np.asarray(self.influence) - np.asarray(other.influence)
        error = 0.0 if self.exact else float(np.sqrt(n / max(n - 1, 1) * np.sum(paired**2)))
        return float(self.value - other.value), error

    def better_than(self, other: "Judged") -> bool:
        """Less in breach of the limits, or equally so and of greater value; a NaN is never better."""
        if not np.isfinite(self.value):
            return False
        if not np.isfinite(other.value) or self.breach < other.breach:
            return True
        return self.breach == other.breach and bool(self.value > other.value)


class Tuned(eqx.Module):
    """The result of `tune`.

    Attributes:
        mechanism: hardened; the rule to audit, save and run.
        start: the rule as it came, hardened.
        exact, started, baselines: the tuned rule, the start and other rules judged on the same fresh populations.
        gap: value of the softened rule minus that of the hardened one.
        residual: norm of the late mean gradient of the Lagrangian, of the steepest; `residual_error` is its noise.
        slack: `[limits]`, positive is room; `slack_error`.
        shadow: `[limits]`, gain in the objective per unit of bound.
        losses: `[steps, restarts]`, the objective as trained, for the trace.
        status: empty when tuning settled at a better rule; otherwise what happened and what to do.
        caveats: what a reader must know before using the rule.
        seconds: first chunk (compilation included) and the rest.
    """

    mechanism: AbstractMechanism
    start: AbstractMechanism
    exact: Judged
    started: Judged
    baselines: dict[str, Judged]
    gap: Float[Array | np.ndarray, ""]
    residual: Float[Array | np.ndarray, ""]
    residual_error: Float[Array | np.ndarray, ""]
    slack: Float[Array | np.ndarray, " limits"]
    slack_error: Float[Array | np.ndarray, " limits"]
    shadow: Float[Array | np.ndarray, " limits"]
    losses: Float[Array | np.ndarray, "steps restarts"]
    objective: str = eqx.field(static=True)
    limits: tuple[str, ...] = eqx.field(static=True)
    status: str = eqx.field(static=True)
    caveats: tuple[str, ...] = eqx.field(static=True)
    seconds: tuple[float, float] = eqx.field(static=True)

    @classmethod
    def of(
        cls, *, mechanism, start, exact, started, baselines, gap, lane: Lane, losses, limits, objective,
        looped: Looped, moved: bool, rejected: bool, forbidden: bool, serves_the_sample: bool,
    ) -> "Tuned":  # fmt: skip
        """Assemble and judge."""
        residual, error = lane.residual
        settled = float(residual), float(error), float(lane.steepest)
        status = _status(exact, started, settled, looped, moved, rejected, forbidden, limits)
        caveats = []
        if serves_the_sample:
            caveats.append(
                "Tuned on the very people it will serve: reports move the rule, so its incentive promises are void."
            )
        if started.breach and not exact.breach and float(exact.value) < float(started.value):
            cost = float(started.value - exact.value)
            caveats.append(
                f"The rule as given breaks {_names(limits)}; keeping within costs {cost:.3g} of the objective."
            )
        if not bool(exact.solved):
            caveats.append("Some allocations were not solved to tolerance; see the certificates in `propagate`.")
        return cls(
            mechanism, start, exact, started, baselines, gap, residual, error, -exact.excess, exact.excess_error,
            lane.prices, losses, objective.name, tuple(limit.name for limit in limits), status, tuple(caveats),
            (looped.first_seconds, looped.rest_seconds),
        )  # fmt: skip

    @property
    def promises(self) -> tuple[AbstractPromise, ...]:
        """The rule's promises, without those about incentives when it was tuned on the people it serves."""
        void = any("incentive promises are void" in caveat for caveat in self.caveats)
        return tuple(p for p in self.mechanism.promises if not (void and p.about_incentives))

    @property
    def gain(self) -> tuple[float, float]:
        """Objective gained over the start, and its paired standard error."""
        return self.exact.gain_over(self.started)

    def priced(self, objective: AbstractObjective, limits: tuple[Limit, ...]) -> AbstractObjective:
        """`objective` less each limit at its shadow price: what the tuned rule maximises without limits.

        Use it to compare rules that meet an average limit differently in different draws.
        """
        for limit, price in zip(limits, np.asarray(self.shadow), strict=True):
            objective = objective - float(price) * limit.objective
        return objective

    def report(self) -> str:
        """The result in words."""
        gain, error = self.gain
        lines = [
            f"objective        {self.objective}",
            f"tuned rule       {float(self.exact.value):.6g} ± {float(self.exact.error):.2g}",
            f"rule as given    {float(self.started.value):.6g} ± {float(self.started.error):.2g}",
            f"gain             {gain:.4g} ± {error:.2g} (paired)",
        ]
        lines += [f"{name:<16} {float(j.value):.6g} ± {float(j.error):.2g}" for name, j in self.baselines.items()]
        for i, name in enumerate(self.limits):
            lines.append(
                f"limit            {name}: slack {float(self.slack[i]):.4g} ± {float(self.slack_error[i]):.2g}, "
                f"shadow price {float(self.shadow[i]):.3g}"
            )
        lines.append(f"hardening gap    {float(self.gap):.3g}")
        lines.append(
            f"residual         {float(self.residual):.3g} ± {float(self.residual_error):.2g} of the steepest gradient"
        )
        lines.append(f"supply excess    {float(self.exact.outside):.3g} at worst, expected shares")
        lines += [f"{name:<16} {np.asarray(x).round(4).tolist()}" for name, x in parameters(self.mechanism).items()]
        settled = (
            "settled at a lawful rule; the rule as given is not" if self.started.breach else "settled at a better rule"
        )
        lines.append(f"status           {self.status or settled}")
        lines += [f"caveat           {caveat}" for caveat in self.caveats]
        return "\n".join(lines)


def _status(exact, started, settled, looped, moved, rejected, forbidden, limits) -> str:
    residual, error, steepest = settled
    if looped.status:
        return looped.status
    if not np.isfinite(float(exact.value)):
        return "The objective is not finite on fresh populations: check the metric for empty groups or infinite values."
    if steepest <= 8 * np.finfo(exact.value.dtype).eps * abs(float(exact.value)):  # rounding is no slope
        return (
            "Flat: the objective does not move with the learned fields, so nothing was tuned. Soften the rule, or give "
            "the objective a surrogate with `.trained_as(...)`."
        )
    broken = [limit for limit, e in zip(limits, np.asarray(exact.excess), strict=True) if exact.breach and e > 0]
    if broken:
        return f"No rule tried meets {_names(broken)}: loosen the bound, add `steps`, or start from a lawful rule."
    if not moved and forbidden:
        return (
            f"The rule as given is returned unchanged: better ones were found, but they break {_names(limits)}. "
            "Lower `rate` or raise `steps`; if that fails, loosen the bound."
        )
    if not moved:
        seen = "on fresh populations the tuned rule did no better" if rejected else "no restart did better"
        return f"The rule as given is as good: {seen}, so it is returned unchanged."
    gain, noise = exact.gain_over(started)
    if started.breach == 0 and gain < 2 * noise:
        return (
            f"The rule as given is about as good: the gain of {gain:.3g} is within two standard errors ({noise:.2g})."
        )
    if residual > SETTLED and residual > 3 * error:
        return (
            f"Better, but not settled: the last gradients still average {residual:.2g} of the steepest. "
            "Raise `steps`, or `populations` if the trace is noisy."
        )
    return ""


def _names(limits) -> str:
    return ", ".join(limit.name for limit in limits)
