"""Bring your own rule: any Python callable can be audited, propagated and compared, without a line of JAX."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..mechanisms.base import AbstractMechanism, Allocation, Certificate
from ..mechanisms.promises import AbstractPromise
from ..models._host import host_call
from ..models.population import Population

_FAILED: dict[Callable[..., Any], dict[str, int]] = {}  # by function: errors and how often, until a verb reports them


class HostRule(AbstractMechanism):
    """A rule that is a Python function of NumPy arrays, called on the host once per population and coin.

    Where the function raises or returns the wrong shape, the run's shares are NaN, the error is remembered, and the
    verb reports it; nothing else is lost. Rules of one function share their compiled programs.
    """

    function: Callable[..., Any] = eqx.field(static=True)
    random: bool = eqx.field(static=True, default=False)
    claims: tuple[AbstractPromise, ...] = ()

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> Allocation:
        values = jnp.asarray(reported.values)
        seed = jax.random.key_data(jax.random.key(0) if key is None else key)
        extra = {} if reported.kind is None else {"kind": reported.kind}
        capacity = getattr(reported.supply, "capacity", None)
        extra |= {} if capacity is None else {"capacity": capacity}
        tossed = key is not None
        function, random = self.function, self.random
        call = lambda v, s, e: _call(function, v, e | ({"rng": _rng(s) if tossed else None} if random else {}))
        shares = host_call(call, values, values, seed, extra)
        failed = jnp.any(jnp.isnan(shares))
        return Allocation(shares, Certificate(jnp.where(failed, jnp.inf, 0.0).astype(values.dtype)))

    @property
    def needs_key(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """A random rule is judged on realisations."""
        return self.random

    @property
    def deterministic(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """A rule that is given no generator is taken to toss no coins."""
        return not self.random

    @property
    def promises(self) -> tuple[AbstractPromise, ...]:
        return self.claims

    def failures(self) -> list[str]:
        """What the function raised since this was last asked."""
        name = getattr(self.function, "__name__", type(self.function).__name__)
        failed = _FAILED.pop(self.function, {})
        return [f"The rule `{name}` failed in {times} calls: {error}" for error, times in failed.items()]


def _rng(seed: np.ndarray) -> np.random.Generator:
    return np.random.default_rng(seed.ravel())


def _call(function: Callable[..., Any], values: np.ndarray, given: dict[str, Any]) -> np.ndarray:
    try:
        shares = np.asarray(function(values, **_wanted(function, given)), values.dtype)
        if shares.shape != values.shape:
            raise ValueError(f"shares must have the shape of values {values.shape}, got {shares.shape}")
    except Exception as error:
        failed = _FAILED.setdefault(function, {})
        what = f"{type(error).__name__}: {error}"
        if what in failed or len(failed) < 3:
            failed[what] = failed.get(what, 0) + 1
        return np.full(values.shape, np.nan, values.dtype)
    return shares


def _wanted(function: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    import inspect

    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return given
    return {name: x for name, x in given.items() if name in parameters}


def from_callable(
    function: Callable[..., Any], *, random: bool = False, promises: tuple[AbstractPromise, ...] = ()
) -> HostRule:
    """Make a rule of a Python function.

    Args:
        function: `values [agents, options]` (NumPy) to shares of the same shape. It may also name any of `kind`,
            `capacity` and, when `random`, `rng` (a NumPy generator seeded by the run's key).
        random: the function uses `rng`, so it is judged on realisations.
        promises: what the rule claims; the audit tries to refute it.

    Example:
        >>> import numpy as np
        >>> first_come = from_callable(lambda values: np.eye(*values.shape))
        >>> first_come.allocate(Population(np.ones((2, 2)))).shares.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if not callable(function):
        raise ValueError(f"`function` must be callable, got {type(function).__name__}.")
    return HostRule(function, random, tuple(promises))


def as_mechanism(rule: Any) -> AbstractMechanism:
    """A mechanism as it is; a plain callable wrapped."""
    if isinstance(rule, AbstractMechanism):
        return rule
    if callable(rule):
        return from_callable(rule)
    raise ValueError(f"`mechanism` must be a rule or a callable `values -> shares`, got {type(rule).__name__}.")
