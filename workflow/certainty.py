"""How sure the answers are: three spreads, the regret of committing now, and what it would be worth to know."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..inference.outcome import Outcome
from .answers import GROUPS, WORST, paired, rough
from .market import INCUMBENT, LEARNED


@dataclass(frozen=True)
class Spreads:
    """Standard deviations: what a bigger survey would shrink, and who happens to come; `noise`: see `key_spreads`."""

    knowledge: float
    sampling: float
    noise: float


def key_spreads(outcome: Outcome, rule: str, than: str | None = None) -> Spreads:
    """Spreads of the gain of the group that gains least, or of its lead over another rule's.

    The least of group means is no mean over populations (and too bent for a jackknife), so its sampling variance is
    that between halves of the populations, over all cyclic splits. `noise` is its share in the variance over draws.
    """
    x = [outcome.data[GROUPS].sel(rule=r).transpose("draw", "population", ...).values for r in (rule, than) if r]
    n = x[0].shape[1]
    half = n // 2
    if not half or len(x[0]) < 2:
        return Spreads(float("nan"), float("nan"), float("nan"))

    def part(who: np.ndarray) -> np.ndarray:
        return _least(x[0][:, who]) - (_least(x[1][:, who]) if than else 0.0)

    split = [part(np.arange(s, s + half) % n) - part(np.arange(s + half, s + 2 * half) % n) for s in range(n)]
    one = float(np.mean(np.square(split))) / 2 * half  # variance of a single population
    across = float(part(np.arange(n)).var(ddof=1))
    return Spreads(max(across - one / n, 0.0) ** 0.5, one**0.5, min(one / n / across, 1.0) if across else 0.0)


def _least(x: Float[np.ndarray, "draws populations groups"]) -> Float[np.ndarray, " draws"]:
    """The least group mean over populations; a group that is empty throughout is left out."""
    here = np.isfinite(x)
    means = np.where(here, x, 0.0).sum(1) / np.maximum(here.sum(1), 1)
    return np.where(here.any(1), means, np.inf).min(-1)


def choice_information(outcome: Outcome) -> float:
    """What knowing the truth is worth for the choice between the learned rule and the incumbent, per traveller."""
    gain = paired(outcome, WORST, LEARNED, INCUMBENT)
    return float(np.maximum(gain, 0).mean() - max(gain.mean(), 0.0)) if gain.size else float("nan")


def redesign_information(designs: dict[str, Any], unit: str) -> tuple[str, ...]:
    """Regret of committing to the learned rule now, and what perfect information would be worth for designing it."""
    value, error, shadow = (designs[k] for k in ("perfect_information", "perfect_information_error", "shadow"))
    regret, noise = (np.asarray(designs[k], float) for k in ("regret", "regret_error"))
    most = int(np.argmax(regret))
    within = " It is within two standard errors of zero." if not value > 2 * error else ""
    return (
        f"In {regret.size} posterior draws the token rule was designed anew, as if that draw were known to be the "
        f"truth. Committing now loses {rough(value)} {unit} per traveller on average (standard error {rough(error)}), "
        f"at most {rough(regret[most])} (± {rough(noise[most])}); in {np.sum(regret == 0)} of {regret.size} no better "
        "design was found. The average is the expected value of perfect information about wishes: no survey can be "
        f"worth more to the design of this rule.{within} Each design is a short search from the learned rule, so a "
        "longer one may find more.",
        "Before comparing, over-subscription is charged at the limit's shadow price: one percentage point of it counts "
        f"as much as {rough(shadow / 100)} {unit} per traveller of the group that gains least."
        if shadow > 0
        else "The limit does not bind: over-subscription costs nothing at the margin.",
    )
