"""Bruhin, Fehr and Schunk's weights on another's payoff, with reciprocity."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .data import SocialChoiceData
from .preferences import AbstractPreferences, Lapse, as_lapse, as_scale, pair


class BruhinFehrSchunk(AbstractPreferences):
    r"""A weight on the other's payoff that depends on who is richer and on what the other has done, all people alike.

    .. math::
        U = (1 - w)\,u_{\text{self}} + w\,u_{\text{other}}, \qquad w = \alpha s + \beta r + \gamma q + \delta v

    s = 1 behind (the other is richer), r = 1 ahead, q = 1 after a kind act, v = 1 after an unkind one. Written by gaps
    this is :math:`U = u + \alpha I^+ - \beta I^- + (\gamma q + \delta v)(I^+ - I^-)`, which is how it is computed; with
    more than two players [X] the other is the average of the others.

    **Sign map**: :math:`\alpha_{FS} = -\alpha` and :math:`\beta_{FS} = \beta`. Here α > 0 is *altruism* behind, there it is
    *aversion*; a Fehr–Schmidt α is therefore negative for most people. Worlds carry the Fehr–Schmidt signs.

    Sites: `alpha`, `beta`, `gamma`, `delta` (without the last two if `reciprocity` is False), `log_precision`, and `lapse`
    where it has a prior. Reported is `precision`, the authors' σ, per unit of payoff.

    Args:
        alpha, beta, gamma, delta, log_precision: mean and standard deviation of normal priors.
        lapse, scale: as in `FehrSchmidt`.
        reciprocity: whether γ and δ are there, for data in which acts come before.

    Raises:
        ValueError: a prior that is none, a lapse outside 0 to 1, a scale that is not positive.

    Source: A. Bruhin, E. Fehr and D. Schunk, "The many faces of human sociality" (2019), equations 1 and 2.

    Example:
        >>> import fairhand as fh
        >>> from fairhand.models.social import gaps
        >>> rng = np.random.default_rng(0)
        >>> payoffs, act = rng.uniform(0, 10, (900, 2, 2)), np.arange(900) % 3  # 1 is kind, 2 unkind
        >>> own, behind, ahead = gaps(payoffs)
        >>> worth = own + 0.1 * behind - 0.4 * ahead + 0.3 * (act == 1)[:, None] * (behind - ahead)
        >>> chosen = (worth[:, 1] - worth[:, 0] + rng.logistic(size=900) > 0).astype(int)
        >>> data = SocialChoiceData.from_payoffs(payoffs, chosen, kind=act == 1, unkind=act == 2)
        >>> posterior = fh.fit(BruhinFehrSchunk(), data, method="map", draws=50)
        >>> abs(posterior.mean["gamma"] - 0.3) < 0.15, abs(posterior.mean["delta"]) < 0.15
        (True, True)
    """

    alpha: tuple[float, float] = eqx.field(static=True, converter=pair, default=(0.0, 0.5))
    beta: tuple[float, float] = eqx.field(static=True, converter=pair, default=(0.3, 0.4))
    gamma: tuple[float, float] = eqx.field(static=True, converter=pair, default=(0.0, 0.3))
    delta: tuple[float, float] = eqx.field(static=True, converter=pair, default=(0.0, 0.3))
    log_precision: tuple[float, float] = eqx.field(static=True, converter=pair, default=(0.0, 1.0))
    lapse: Lapse = eqx.field(static=True, converter=as_lapse, default=None)
    scale: float | None = eqx.field(static=True, converter=as_scale, default=None)
    reciprocity: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        self.check_priors()

    @property
    def terms(self) -> tuple[str, ...]:
        return ("alpha", "beta", "gamma", "delta") if self.reciprocity else ("alpha", "beta")

    def features(self, data: SocialChoiceData) -> Float[np.ndarray, "terms situations 2"]:
        gap = data.behind - data.ahead
        acts = [data.kind[:, None] * gap, data.unkind[:, None] * gap] if self.reciprocity else []
        return np.stack([data.behind, -data.ahead, *acts])

    def fehr_schmidt(self, alpha: Any, beta: Any) -> tuple[Any, Any]:
        return -alpha, beta
