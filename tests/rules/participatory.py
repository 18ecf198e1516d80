"""Utilities less inequality (Fehr and Schmidt 1999), by projected gradient in the dual and certified by the gap."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from fairhand.mechanisms import AbstractMechanism, Allocation, Certificate, Feasible, learned


class Participatory(AbstractMechanism):
    """Shares that maximise the sum of utilities less `strength` times elicited unfairness, all items given.

    With a dual variable for each pair, xi[i, k] in [-beta_i', alpha_i'], item j goes to the greatest (1 + s_i) a_ij,
    s = row sums less column sums of xi. Entropy of weight `temperature` makes that a softmax and the dual smooth; the
    certificate is the gap to the dual without entropy, relative to the value.
    """

    strength: Float[Array | np.ndarray, ""] = learned(constraints.interval(0.0, 1.5))
    temperature: ArrayLike = 0.01
    steps: int = eqx.field(static=True, default=400)
    tolerance: float = eqx.field(static=True, default=0.02)

    def soften(self, temperature):
        return dataclasses.replace(self, temperature=temperature)

    def allocate(self, reported, key=None):
        del key
        a, n = jnp.asarray(reported.values), reported.num_agents
        pairs = lambda weight: (self.strength * weight / (n - 1))[:, None] * jnp.ones((n, n), a.dtype)
        behind, ahead = pairs(reported.alpha), pairs(reported.beta)

        def primal(xi):
            s = xi.sum(1) - xi.sum(0)
            return jax.nn.softmax((1 + s)[:, None] * a / self.temperature, 0), s

        def descend(xi, behind, ahead):
            u = (a * primal(xi)[0]).sum(1)
            return jnp.clip(xi - 0.25 * self.temperature * (u[:, None] - u[None]), -ahead, behind)

        still = jax.lax.stop_gradient((behind, ahead))
        xi = jax.lax.fori_loop(0, self.steps, lambda _, xi: descend(xi, *still), jnp.zeros((n, n), a.dtype))
        xi = jax.lax.stop_gradient(xi)
        # Implicit function theorem at the fixed point; the matrix is singular on pairs that do not matter.
        moved = lambda z: descend(z.reshape(n, n), *still).ravel()
        jacobian = jnp.eye(n * n, dtype=a.dtype) - jax.lax.stop_gradient(jax.jacfwd(moved)(xi.ravel()))
        step = descend(xi, behind, ahead)
        xi = xi + (jnp.linalg.pinv(jacobian, rtol=1e-4) @ (step - jax.lax.stop_gradient(step)).ravel()).reshape(n, n)

        shares, s = primal(xi)
        u = (a * shares).sum(1)
        lead = u[:, None] - u[None]
        value = u.sum() - (behind * jax.nn.relu(-lead)).sum() - (ahead * jax.nn.relu(lead)).sum()
        gap = ((1 + s)[:, None] * a).max(0).sum() - value
        parts = {"value": value, "gap": gap}
        return Allocation(shares, Certificate(gap / value, self.tolerance, parts, "Lower `temperature`, add `steps`."))

    @property
    def promises(self) -> tuple[Any, ...]:
        return (Feasible(),)


def unfairness(p, a):
    """Elicited disutility of being behind and ahead, summed over agents."""
    u = p.utility(a.shares)
    lead = u[:, None] - u[None]
    felt = p.alpha[:, None] * jax.nn.relu(-lead) + p.beta[:, None] * jax.nn.relu(lead)
    return felt.sum() / (u.size - 1)


def referee(values, alpha, beta, strength) -> float:
    """The greatest value of the programme, by HiGHS."""
    import scipy.optimize
    import scipy.sparse as sp

    a = np.asarray(values, float)
    n, m = a.shape
    behind, ahead = strength * np.asarray(alpha, float) / (n - 1), strength * np.asarray(beta, float) / (n - 1)
    pairs = [(i, k) for i in range(n) for k in range(i + 1, n)]
    over = [ahead[i] + behind[k] for i, k in pairs]  # i is ahead of k
    under = [ahead[k] + behind[i] for i, k in pairs]
    matrix = sp.lil_matrix((len(pairs) + m, n * m + 2 * len(pairs)))
    for row, (i, k) in enumerate(pairs):
        matrix[row, i * m : (i + 1) * m], matrix[row, k * m : (k + 1) * m] = a[i], -a[k]
        matrix[row, n * m + row], matrix[row, n * m + len(pairs) + row] = -1, 1
    for j in range(m):
        matrix[len(pairs) + j, j : n * m : m] = 1
    right = np.r_[np.zeros(len(pairs)), np.ones(m)]
    return -scipy.optimize.linprog(np.r_[-a.ravel(), over, under], A_eq=matrix.tocsr(), b_eq=right, method="highs").fun
