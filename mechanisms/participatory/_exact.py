"""Solving inside a rule: on numbers at once, inside a JAX program by a call to the host; either way with a certificate."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...models._host import host_call
from ..base import Certificate
from ._check import Problem, check_problem, traced
from ._weights import Program
from .solvers.dual import bound
from .solvers.solution import Solution
from .solvers.solve import solve_checked, solve_each

ADVICE = "Pass a larger `tol`, another `method`, or check that the numbers are valid: a refused program has NaN shares."
MAX_STEPS = 20000


class SolutionCertificate(Certificate):
    """A `Solution` in the form in which verbs read certificates: `residual` is the gap over the greatest total utility.

    It has all fields of `Solution`, of the program that the rule solves: alpha and beta as it takes them, agents' weights over
    their mean.

    Attributes:
        method: the method used; inside a JAX program the one asked for.
    """

    method: str = eqx.field(static=True, default="")

    @property
    def shares(self) -> Float[Array | np.ndarray, "*batch agents items"]:
        """What each agent gets of each item."""
        return self.parts["shares"]

    @property
    def utilities(self) -> Float[Array | np.ndarray, "*batch agents"]:
        """Of the shares, in utils."""
        return self.parts["utilities"]

    @property
    def sigma(self) -> Float[Array | np.ndarray, "*batch agents"]:
        """The dual."""
        return self.parts["sigma"]

    @property
    def primal(self) -> Float[Array | np.ndarray, "*batch"]:
        """Welfare of the shares."""
        return self.parts["primal"]

    @property
    def dual(self) -> Float[Array | np.ndarray, "*batch"]:
        """What no allocation exceeds."""
        return self.parts["dual"]

    @property
    def gap(self) -> Float[Array | np.ndarray, "*batch"]:
        """Dual - primal."""
        return self.parts["gap"]

    @property
    def converged(self) -> Any:
        """Whether the gap meets the tolerance."""
        return self.solved


def solve_program(program: Program, caps: Any, disposal: str, method: str, tol: float) -> SolutionCertificate:
    """The exact answer to a rule's program.

    Raises:
        ValueError: bad input, where numbers are known; inside a program NaN comes instead.
    """
    if program.known and not traced(caps):
        problem = check_problem(program.values, program.alpha, program.beta, caps, disposal)
        found = solve_each(problem, method, tol, MAX_STEPS)
        return as_certificate(found, _residual(problem, found.gap), tol)
    values = jnp.asarray(program.values)
    caps = jnp.broadcast_to(jnp.asarray(caps, values.dtype), values.shape[-1:])
    one = functools.partial(_traced, caps=caps, disposal=disposal, method=method, tol=tol)
    for _ in range(values.ndim - 2):
        one = jax.vmap(one)
    parts = one(values, jnp.asarray(program.alpha), jnp.asarray(program.beta))
    residual = parts.pop("residual")
    return SolutionCertificate(residual, tol, parts, ADVICE, method)


def as_certificate(found: Solution, residual: Any, tol: float) -> SolutionCertificate:
    """A host's solution with its relative gap."""
    names = ("shares", "utilities", "sigma", "primal", "dual", "gap")
    parts = {name: np.asarray(getattr(found, name)) for name in names}
    return SolutionCertificate(np.asarray(residual), tol, parts, ADVICE, found.method)


def _residual(p: Problem, gap: Any) -> Any:
    """Gaps relative to the greatest total utility, `[...]`; 0 where nothing is worth anything."""
    best = bound(np.zeros(p.alpha.shape), p.values, p.caps, p.disposal)
    gap = np.maximum(gap, 0.0)
    return np.divide(gap, best, out=np.where(gap > 0, np.inf, gap), where=best > 0)[()]


def _traced(values: Any, alpha: Any, beta: Any, *, caps: Any, disposal: str, method: str, tol: float) -> dict[str, Any]:
    n, m = values.shape
    call = functools.partial(_on_host, disposal=disposal, method=method, tol=tol)
    packed = host_call(call, jnp.zeros(n * m + n + 4, values.dtype), values, alpha, beta, caps)
    shares, sigma = packed[: n * m].reshape(n, m), packed[n * m : -4]
    numbers = dict(zip(("primal", "dual", "gap", "residual"), packed[-4:], strict=True))
    return {"shares": shares, "utilities": jnp.sum(values * shares, -1), "sigma": sigma, **numbers}


def _on_host(values: Any, alpha: Any, beta: Any, caps: Any, *, disposal: str, method: str, tol: float) -> np.ndarray:
    n, single = len(values), values.dtype != np.float64
    values, alpha, beta, caps = (np.asarray(x, np.float64) for x in (values, alpha, beta, caps))
    if single:  # 1 / n in single precision may be a hair too small
        caps = np.where((n * caps < 1) & (n * caps > 1 - 1e-6), 1 / n, caps)
    try:
        p = next(check_problem(values, alpha, beta, caps, disposal).each())
        found = solve_checked(p, method, tol, MAX_STEPS)
    except ValueError:
        return np.full(values.size + n + 4, np.nan)
    numbers = [found.primal, found.dual, found.gap, _residual(p, found.gap)]
    assert found.sigma is not None
    return np.concatenate([np.ravel(found.shares), np.asarray(found.sigma), numbers])
