"""Two agents whose values are independent draws from one law: the expected bound, and how well spread the law is."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ....models._check import require
from ....models.laws import AbstractLaw
from .closed_forms import inside, plain

_OUTER, _INNER = 96, 48


def independent_bound(law: Any, c: Any) -> Float[np.ndarray | np.float64, "*batch"]:
    r"""Expected bound on the loss of one item that is worth an independent draw from one law to each of two agents.

    With G the distribution function and :math:`\bar a` the larger of the two,

    .. math::
        E \Bigl[\bar a \int_0^c [\hat G(1 - l) - \hat G(1 - c)]\,dl\Bigr] = E\bigl[(\bar a - \underline a)\,
        1\{\underline a \ge (1 - c) \bar a\}\bigr], \qquad \hat G(x) = G(x \bar a)/G(\bar a).

    It is the expectation of the bound (14), with either agent as the richer one; the realised loss is smaller. For
    Beta(s, 1) it is `beta_bound`. For small c it is at most :math:`\kappa c^2/2` (corollary E.3), if the law's κ is finite,
    see `spread`.

    Args:
        law: the law of values, not negative and without atoms.
        c: :math:`2A/(1 + A)`, in [0, 1]; any shape.

    Returns:
        Utils per item, of the shape of `c`, by Gauss–Legendre quadrature: near machine precision for smooth laws, about 1e-4 in
        proportion where the law has corners.

    Raises:
        ValueError: the law can be negative or has atoms, or `c` is outside [0, 1].

    Source: Shirali, Finocchiaro and Abebe (2024), lemma E.1 [P]; the right side ours [D].

    Example:
        >>> from fairhand.models import Uniform
        >>> round(float(independent_bound(Uniform(), 0.3)), 6)  # c² / 3
        0.03
    """
    _require_law(law)
    c = inside(c, "c", 0.0, 1.0, "[0, 1]")
    levels, weights = _nodes(_OUTER)
    inner, inner_weights = _nodes(_INNER)
    with jax.enable_x64(True):
        top = np.asarray(law.quantile(levels))
        width = c[..., None, None] * top[:, None]
        points = top[:, None] - width * inner
        below = np.asarray(law.cdf(points.ravel())).reshape(points.shape)
        least = np.asarray(law.cdf((top * (1 - c[..., None])).ravel())).reshape(*c.shape, top.size)
    area = (width * (below - least[..., None]) * inner_weights).sum(-1)
    return plain((2 * area * weights).sum(-1))


def spread(law: Any) -> float:
    r"""How concentrated a law is anywhere, in proportion to what lies below: :math:`\kappa = \sup_{a > 0} a\, g(a)/G(a)`.

    The number on which quadratic losses rest: with a finite κ, two agents' expected loss is at most
    :math:`c^2 \kappa/2 + o(c^2)` an item. It is s for Beta(s, 1), so 1 for U(0, 1), and infinite for Beta(s, s') with s' < 1.

    Args:
        law: the law of values, not negative and without atoms.

    Returns:
        κ, the largest ratio on 4,000 levels and at the upper end of the support: from below where the density is very rough.

    Raises:
        ValueError: the law can be negative or has atoms.

    Source: Shirali, Finocchiaro and Abebe (2024), corollary E.3 [P].

    Example:
        >>> from fairhand.models import Power
        >>> round(spread(Power(3.0)), 6)  # distribution function a³
        3.0
    """
    _require_law(law)
    with jax.enable_x64(True):
        levels = np.concatenate([np.geomspace(1e-9, 0.5, 2000), 1 - np.geomspace(0.5, 1e-12, 2000)])
        at = np.append(np.asarray(law.quantile(levels)), float(law.support[1]))
        ratio = at * np.asarray(law.density(at)) / np.maximum(np.asarray(law.cdf(at)), np.finfo(float).tiny)
    return float(np.nanmax(np.where(at > 0, ratio, 0.0)))


def _require_law(law: Any) -> None:
    require(isinstance(law, AbstractLaw), f"`law` must be a law of values, such as Uniform(); got {law!r}.")
    require(np.shape(law.atoms)[-1] == 0, "`law` has atoms: the formula needs a continuous distribution function.")
    require(float(law.support[0]) >= 0, f"`law` must not be negative; its support starts at {float(law.support[0]):g}.")


def _nodes(size: int) -> tuple[np.ndarray, np.ndarray]:
    x, w = np.polynomial.legendre.leggauss(size)
    return (x + 1) / 2, w / 2
