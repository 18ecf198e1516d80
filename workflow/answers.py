"""What the report says: numbers and sentences, as pure functions of the outcome. Nothing is drawn or laid out here."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..inference.outcome import Outcome
from .market import EQUAL, INCUMBENT, LEARNED

MEAN, ENVY, OVER, GROUPS = "mean_utility", "envy", "ex post oversubscribed", "group_means"
WORST = "gain of the group that gains least"
SERIAL = "probabilistic serial"
SURE = 0.9  # probability of being better before the report says so; one minus it for worse
INTERVAL = 0.9
ROUNDING = 1e-9  # relative: a smaller difference is a tie


@dataclass(frozen=True)
class Estimate:
    """Mean and credible interval over posterior draws; `error` is the standard error of the mean over draws."""

    mean: float
    low: float
    high: float
    error: float

    @classmethod
    def of(cls, x: Float[np.ndarray, " draws"]) -> "Estimate":
        """Draws that are NaN are left out; with none left all is NaN."""
        x = x[np.isfinite(x)]
        if x.size == 0:
            return cls(*[float("nan")] * 4)
        low, high = np.quantile(x, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
        error = x.std(ddof=1) / np.sqrt(x.size) if x.size > 1 else float("nan")
        return cls(float(x.mean()), float(low), float(high), float(error))

    def text(self, places: int | None = None) -> str:
        """`mean (low to high)`, with as many decimal places as the width of the interval deserves."""
        if not np.isfinite(self.mean):
            return "no data"
        places = self.places if places is None else places
        return f"{number(self.mean, places)} ({number(self.low, places)} to {number(self.high, places)})"

    def __str__(self) -> str:
        return self.text()

    @property
    def places(self) -> int:
        """Decimal places worth showing."""
        width = self.high - self.low
        return _places(width / 5 if width > 0 else self.mean, 2)

    @property
    def as_percent(self) -> str:
        """The same for shares and chances."""
        if not np.isfinite(self.mean):
            return "no data"
        return f"{percent(self.mean)} ({percent(self.low)} to {percent(self.high)})"


@dataclass(frozen=True)
class Versus:
    """A rule less another, paired draw by draw, and the probability that it is the better one (a tie is one half)."""

    gain: Estimate
    chance: float
    draws: int

    @property
    def probability(self) -> str:
        """In words that claim no more than the number of draws allows."""
        if not self.draws:
            return "no data"
        if min(self.chance, 1 - self.chance) < 0.5 / self.draws:
            least = 1 / self.draws
            return f"below {percent(least)}" if self.chance < 0.5 else f"above {percent(1 - least)}"
        return percent(self.chance)


def number(x: float, places: int | None = None) -> str:
    """Three digits, or so many decimal places, with a true minus sign."""
    if not np.isfinite(x):
        return "no data"
    text = f"{x:,.{_places(x) if places is None else places}f}"
    return text.replace("-", "−" if text.strip("-0.,") else "")


def rough(x: float) -> str:
    """Two digits, for standard errors and the like."""
    return number(x, _places(x, 2) if np.isfinite(x) else 0)


def _places(scale: float, digits: int = 3) -> int:
    return int(np.clip(digits - 1 - np.floor(np.log10(abs(scale))), 0, 6)) if scale else 0


def percent(x: float) -> str:
    """A share or chance in per cent, with a decimal place near the ends."""
    if not np.isfinite(x):
        return "no data"
    near = 100 * min(abs(x), abs(1 - x))
    return f"{100 * x:.{int(near < 9.95 and round(near, 1) % 1 > 0)}f}\N{NO-BREAK SPACE}%"


def listed(names: Sequence[str]) -> str:
    """`a; b and c`, for names that may hold commas."""
    return names[0] if len(names) == 1 else "; ".join(names[:-1]) + f" and {names[-1]}"


def draws(outcome: Outcome, metric: str, rule: str, item: int | None = None) -> Float[np.ndarray, " draws"]:
    """A metric by posterior draw, averaged over populations and coins."""
    x = outcome.by_draw(metric).sel(rule=rule)
    return np.asarray(x.values if item is None else x.isel({f"{metric}_item": item}).values, float)


def level(outcome: Outcome, metric: str, rule: str, item: int | None = None) -> Estimate:
    """What a rule does."""
    return Estimate.of(draws(outcome, metric, rule, item))


def paired(outcome: Outcome, metric: str, rule: str, than: str, item: int | None = None) -> Float[np.ndarray, " draws"]:
    """How much more than another by draw, where both have a number; differences by rounding are 0."""
    one, two = (draws(outcome, metric, name, item) for name in (rule, than))
    here = np.isfinite(one) & np.isfinite(two)
    gain = (one - two)[here]
    return np.where(np.abs(gain) <= ROUNDING * np.maximum(np.abs(one), np.abs(two))[here], 0.0, gain)


def versus(outcome: Outcome, metric: str, rule: str, than: str, item: int | None = None) -> Versus:
    """How much more than another; but for rounding, `chance` is `Outcome.chance_better`."""
    gain = paired(outcome, metric, rule, than, item)
    chance = float(np.mean((gain > 0) + 0.5 * (gain == 0))) if gain.size else float("nan")
    return Versus(Estimate.of(gain), chance, gain.size)


def limit_words(chance: Estimate, limit: float) -> str:
    """Whether a chance keeps a limit, given its simulation error."""
    noise = 2 * chance.error if np.isfinite(chance.error) else 0.0
    if chance.mean - noise > limit:
        return f"above the limit of {percent(limit)}"
    return f"{'within' if chance.mean <= limit else 'within noise of'} the limit of {percent(limit)}"


@dataclass(frozen=True)
class Decision:
    """What to do, and why."""

    headline: str
    reasons: tuple[str, ...]


def decide(
    outcome: Outcome, unit: str, limit: float, refuted: Sequence[str] = (), noise: float = float("nan")
) -> Decision:
    """The learned rule against the incumbent, on the gain of the group that gains least.

    A rule that is better but breaks its limit, or a promise in `refuted`, is not recommended. `noise` is the share of
    simulation in the variance of the difference, which is owned up to where it may be what hides a difference.
    """
    found, before = versus(outcome, WORST, LEARNED, INCUMBENT), level(outcome, WORST, INCUMBENT)
    if not found.draws:
        return Decision("No decision", ("The learned rule and the incumbent have no numbers on the same draws.",))
    gain, places = found.gain, found.gain.places
    reasons = [
        f"The learned rule gives the group that gains least {number(abs(gain.mean), places)} {unit} per traveller "
        f"{'more' if gain.mean >= 0 else 'less'} than {INCUMBENT}, the incumbent, which gives {number(before.mean)} "
        f"({percent(INTERVAL)} interval of the difference: {number(gain.low, places)} to {number(gain.high, places)}).",
        f"The probability that the learned rule is better for that group is {found.probability}."
        + _without_lotteries(outcome),
    ]
    over = level(outcome, OVER, LEARNED)
    words = limit_words(over, limit)
    obstacles = [f"its chance of over-subscription is {percent(over.mean)}, {words}"] if "above" in words else []
    obstacles += [f"the audit refuted its promise “{name}”" for name in refuted]
    if found.chance >= SURE and obstacles:
        return Decision(
            "Keep the incumbent for now", (f"The learned rule gains more, but {' and '.join(obstacles)}.", *reasons)
        )
    if found.chance >= SURE:
        return Decision("Use the learned rule", tuple(reasons))
    if found.chance <= 1 - SURE:
        return Decision("Keep the incumbent", tuple(reasons))
    same = "This run does not tell the two rules apart on this question, so there is no case for a change."
    if noise > 0.25:
        same += f" Of the variance of their difference {percent(noise)} is noise of simulation, which more populations "
        same += "per draw would shrink."
    return Decision("The incumbent is as good", (same, *reasons))


def _without_lotteries(outcome: Outcome) -> str:
    if SERIAL not in outcome.rules:
        return ""
    chance = versus(outcome, WORST, LEARNED, SERIAL).probability
    return (
        f" Against {SERIAL}, the incumbent's twin in large markets, known without noise of lotteries, it is {chance}."
    )


def price(outcome: Outcome, free: str, unit: str, limit: float) -> tuple[str, ...]:
    """What hold-back costs and buys, and what head starts bring; `free` names the rule that holds nothing back."""
    over = level(outcome, OVER, LEARNED)
    now = f"{percent(over.mean)}, {limit_words(over, limit)}"
    if free not in outcome.rules:
        return (f"The chance that some mode is over-subscribed is {now}.",)
    cost, before = versus(outcome, WORST, free, LEARNED).gain, level(outcome, OVER, free).mean
    head = versus(outcome, WORST, free, EQUAL).gain
    return (
        f"The price: holding seats back costs the group that gains least {cost} {unit} per traveller; it takes the "
        f"chance that some mode is over-subscribed from {percent(before)} to {now}.",
        f"With nothing held back, the head starts would give that group {head} more than equal tokens.",
    )


def who_gains(outcome: Outcome, groups: Sequence[str]) -> tuple[str, ...]:
    """Winners and losers against the incumbent, by name."""
    found = {g: versus(outcome, GROUPS, LEARNED, INCUMBENT, i) for i, g in enumerate(groups)}
    kinds = {
        "Gains more than under the incumbent": [g for g, v in found.items() if v.chance >= SURE],
        "Gains less than under the incumbent": [g for g, v in found.items() if v.chance <= 1 - SURE],
        "No clear difference": [g for g, v in found.items() if 1 - SURE < v.chance < SURE],
        "Nobody of this group came": [g for g, v in found.items() if not v.draws],
    }
    for words, names in kinds.items():
        if len(names) == len(groups) > 1 and words.startswith("Gains"):
            return (f"Every group {words[0].lower()}{words[1:]}.",)
    return tuple(f"{words}: {listed(names)}." for words, names in kinds.items() if names)


def shortage(outcome: Outcome, rule: str) -> float:
    """Seats missing on the shortest mode, on average over the occasions when some mode is over-subscribed."""
    over = outcome.data[OVER].sel(rule=rule).values > 0
    excess = outcome.data["realised excess"].sel(rule=rule).values
    return float(excess[over].mean()) if over.any() else 0.0
