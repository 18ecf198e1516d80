"""What a point of indifference says: closed forms between thresholds and Fehr and Schmidt's weights."""

from typing import Any

import numpy as np
from jaxtyping import Float


def alpha_of_offer(offer: Any) -> Float[np.ndarray, "..."]:
    r"""The α of who just accepts this share of the pie: :math:`\alpha = s'/(1-2s')`.

    Accepting a share s < ½ is worth :math:`s - \alpha(1 - 2s)`, refusing 0. Nobody averse to being behind refuses half or
    more, so α grows without end as the least accepted share comes near half, and is `inf` from there.

    Args:
        offer: shares of the pie, between 0 and 1; any shape.

    Raises:
        ValueError: a share outside 0 to 1.

    Source: E. Fehr and K. Schmidt (1999), proposition 1.

    Example:
        >>> alpha_of_offer([0.0, 0.25, 0.4, 0.5]).round(3).tolist()
        [0.0, 0.5, 2.0, inf]
    """
    s = _share("offer", offer)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(s < 0.5, s / (1 - 2 * s), np.inf)


def offer_of_alpha(alpha: Any) -> Float[np.ndarray, "..."]:
    r"""The least share of the pie that is accepted, :math:`s' = \max(0, \alpha/(1+2\alpha))`; 0 for altruists.

    Args:
        alpha: Fehr and Schmidt's; any shape.

    Example:
        >>> offer_of_alpha([-1.0, 0.0, 0.5, 2.0]).tolist()
        [0.0, 0.0, 0.25, 0.4]
    """
    alpha = np.maximum(np.asarray(alpha, float), 0.0)
    return alpha / (1 + 2 * alpha)


def beta_of_switch(equal: Any) -> Float[np.ndarray, "..."]:
    r"""The β of who is indifferent between all of a pie of 1 and an equal split (x, x): :math:`\beta = 1 - x`.

    Args:
        equal: x, what both get, between 0 and 1; any shape.

    Raises:
        ValueError: a payoff outside 0 to 1.

    Source: M. Blanco, D. Engelmann and H. Normann, "A within-subject analysis of other-regarding preferences" (2011).

    Example:
        >>> beta_of_switch([0.5, 0.9]).round(3).tolist()
        [0.5, 0.1]
    """
    return 1 - _share("equal", equal)


def _share(name: str, x: Any) -> np.ndarray:
    x = np.asarray(x, float)
    if not np.all((x >= 0) & (x <= 1)):
        raise ValueError(
            f"`{name}` must be shares of the pie, from 0 to 1; got {x[~((x >= 0) & (x <= 1))].ravel()[:3]}."
        )
    return x
