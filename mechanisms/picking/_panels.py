"""Quadrature on panels: an integral is cut wherever its integrand has a kink, and each piece is smooth inside."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def _tanh_sinh() -> tuple[np.ndarray, np.ndarray]:
    """Nodes of [0, 1], as distances to the nearer end, negative for the right one, and weights (Takahasi and Mori 1974).

    Kinks and powers at the ends of a panel cost it no precision.
    """
    tau = np.arange(-32, 33) * 0.1
    near = 1 / (1 + np.exp(np.pi * np.sinh(np.abs(tau))))
    return np.where(tau < 0, near, -near), 0.1 * np.pi * np.cosh(tau) * near * (1 - near)


def _gauss(count: int) -> tuple[np.ndarray, np.ndarray]:
    x, weight = np.polynomial.legendre.leggauss(count)
    return np.where(x < 0, (1 + x) / 2, (x - 1) / 2), weight / 2


FINE = _tanh_sinh()
COARSE = _gauss(20)  # for panels so many that each is short


def on_panels(
    edges: Float[Array, " edges"], rule: tuple[np.ndarray, np.ndarray] = FINE
) -> tuple[Float[Array, "panels nodes"], Float[Array, "panels nodes"]]:
    """Nodes and weights between successive edges, which ascend; panels of no width weigh nothing."""
    distance, weight = (jnp.asarray(part, edges.dtype)[None, :] for part in rule)
    start, end = edges[:-1, None], edges[1:, None]
    width = end - start
    return jnp.where(distance > 0, start, end) + width * distance, width * weight
