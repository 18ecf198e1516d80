"""The mode of a density and its curvature: the first answer, and where sampling starts."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.optimize

from ._density import Arguments, Density


@dataclass(frozen=True)
class Mode:
    """The mode in unconstrained space, the covariance of its Laplace approximation, and how good the search was.

    `covariance` is `[size, size]`, or `[size]` where only variances are known. `flat`: in some direction it does not curve.
    """

    z: np.ndarray
    covariance: np.ndarray
    potential: float
    gradient_norm: float
    status: str
    flat: bool = False

    def sample(self, num: int, seed: int, widen: float = 1.0) -> np.ndarray:
        """Draws `[num, size]` of the Laplace approximation."""
        noise = np.random.default_rng(seed).normal(size=(num, self.z.size))
        if self.covariance.ndim == 1:
            return self.z + widen * noise * np.sqrt(self.covariance)
        return self.z + widen * noise @ np.linalg.cholesky(self.covariance).T


def find_mode(density: Density, args: Arguments, start: np.ndarray, tolerance: float) -> Mode:
    """Trust-region Newton (SciPy `trust-exact`) with exact derivatives.

    A covariance needs positive curvature in every direction; where the density is flat the eigenvalue is raised to
    1e-8 of the largest and the status names the parameters that lie in it.
    """
    memory: dict[bytes, tuple] = {}

    def at(z):
        key = np.asarray(z).tobytes()
        if key not in memory:
            memory.clear()
            memory[key] = tuple(np.asarray(x, float) for x in density.derivatives(z.astype(density.start.dtype), args))
        return memory[key]

    found = scipy.optimize.minimize(
        lambda z: float(at(z)[0]),
        np.asarray(start, float),
        jac=lambda z: at(z)[1],
        hess=lambda z: at(z)[2],
        method="trust-exact",
        options={"gtol": tolerance, "maxiter": 500},
    )
    value, gradient, hessian = at(found.x)
    values, vectors = scipy.linalg.eigh(hessian)
    floor = 1e-8 * max(values.max(), 1e-300)
    weak = values < floor
    status = ""
    if not np.all(np.isfinite(gradient)):
        status = "The log density is not finite at the mode: check the data for extreme values."
    elif weak.any():
        names = sorted({density.names[i] for v in vectors.T[weak] for i in np.flatnonzero(np.abs(v) > 0.3)})
        status = f"The posterior is flat in {', '.join(names)}: not identified; give a proper prior or drop a column."
    elif np.max(np.abs(gradient)) > 1e3 * tolerance:
        status = (
            f"The mode was not reached (gradient {np.max(np.abs(gradient)):.2g}): rescale columns or tighten priors."
        )
    covariance = (vectors / np.maximum(values, floor)) @ vectors.T
    return Mode(found.x, covariance, float(value), float(np.max(np.abs(gradient))), status, bool(weak.any()))
