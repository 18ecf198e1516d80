"""Fehr and Schmidt's inequality aversion."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .data import SocialChoiceData
from .preferences import AbstractPreferences, Lapse, as_lapse, as_scale, pair


class FehrSchmidt(AbstractPreferences):
    r"""Inequality aversion with error: people dislike being behind (α) and being ahead (β), all alike.

    .. math::
        U_i = u_i - \frac{\alpha}{n-1}\sum_k (u_k - u_i)^+ - \frac{\beta}{n-1}\sum_k (u_i - u_k)^+
            = u_i - \alpha I^+_i - \beta I^-_i

    α and β may be negative: who likes others to be richer has α < 0. Nothing forces α ≥ β or β < 1, which many people
    violate. They are weights of *average* gaps, so a weight found with two players is taken to hold for the average over
    n − 1 others: an assumption.

    **Priors**: α, β and log λ normal, λ the precision per `scale` of payoff; w beta.

    Sites: `alpha`, `beta`, `log_precision`, and `lapse` where it has a prior. Reported are `alpha`, `beta`, `precision`
    (λ/scale, per unit of payoff) and `lapse`.

    Args:
        alpha, beta, log_precision: mean and standard deviation of normal priors.
        lapse: the two numbers of a beta prior of w, how often people answer at random; a number where it is known; None
            is never.
        scale: what payoffs are divided by, in their unit; None is the root mean square difference in own payoff.

    Raises:
        ValueError: a prior that is none, a lapse outside 0 to 1, a scale that is not positive.

    Source: E. Fehr and K. Schmidt, "A theory of fairness, competition, and cooperation" (1999), equation 1.

    Example:
        >>> import fairhand as fh
        >>> from fairhand.models.social import gaps
        >>> rng = np.random.default_rng(0)
        >>> payoffs = rng.uniform(0, 10, (400, 2, 2))
        >>> own, behind, ahead = gaps(payoffs)
        >>> worth = own - 0.2 * behind - 0.4 * ahead
        >>> chosen = (worth[:, 1] - worth[:, 0] + rng.logistic(size=400) > 0).astype(int)
        >>> posterior = fh.fit(FehrSchmidt(), SocialChoiceData.from_payoffs(payoffs, chosen), method="map", draws=50)
        >>> abs(posterior.mean["alpha"] - 0.2) < 0.15, abs(posterior.mean["beta"] - 0.4) < 0.15
        (True, True)
    """

    alpha: tuple[float, float] = eqx.field(static=True, converter=pair, default=(0.4, 0.5))
    beta: tuple[float, float] = eqx.field(static=True, converter=pair, default=(0.3, 0.4))
    log_precision: tuple[float, float] = eqx.field(static=True, converter=pair, default=(0.0, 1.0))
    lapse: Lapse = eqx.field(static=True, converter=as_lapse, default=(1.0, 19.0))
    scale: float | None = eqx.field(static=True, converter=as_scale, default=None)

    def __check_init__(self):
        self.check_priors()

    @property
    def terms(self) -> tuple[str, ...]:
        return ("alpha", "beta")

    def features(self, data: SocialChoiceData) -> Float[np.ndarray, "terms situations 2"]:
        return np.stack([-data.behind, -data.ahead])

    def fehr_schmidt(self, alpha: Any, beta: Any) -> tuple[Any, Any]:
        return alpha, beta
