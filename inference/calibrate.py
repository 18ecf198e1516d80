"""Is the posterior what it says it is? Simulation-based calibration, all fits in one program."""

import json
import os
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray
from scipy.stats import chi2

from ._asked import check_model, key_of
from ._bands import ecdf, p_value
from ._devices import Devices
from ._precision import Precision
from ._refits import Settings, refit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

ECHO, DIVERGENT, LOST = 0.1, 0.001, 0.01


@dataclass(frozen=True)
class Calibration:
    """Ranks of the truth among posterior draws, over many simulated data sets; uniform where the posterior is right.

    Attributes:
        names: of the scalars; the last is the log-probability of the data, at the truth against at the draws.
        ranks: `[fits, scalars]`, from 0 to `draws`: how many draws lie below the truth.
        draws: kept of each fit.
        truth: `[fits, scalars]`. `mean`, `sd`: of the draws, the same shape.
        echo: `[scalars]`, mean correlation of neighbouring draws; ranks take draws to be independent.
        diverging: `[fits]`, transitions that diverged. `settled`: `[fits]`, whether the mode was reached.
        level: of the bands, all scalars together.
        settings: how each data set was fitted.
        model: what was fitted, as plain values. `simulator`: what drew parameters and data.
        seconds: first batch, compilation included, and the rest.
        status: empty, or that it was interrupted.
    """

    names: tuple[str, ...]
    ranks: Int[np.ndarray, "fits scalars"]
    draws: int
    truth: Float[np.ndarray, "fits scalars"]
    mean: Float[np.ndarray, "fits scalars"]
    sd: Float[np.ndarray, "fits scalars"]
    echo: Float[np.ndarray, " scalars"]
    diverging: Int[np.ndarray, " fits"]
    settled: Bool[np.ndarray, " fits"]
    level: float
    settings: dict[str, Any]
    model: dict[str, Any]
    simulator: dict[str, Any]
    seconds: tuple[float, float]
    status: str

    @property
    def fits(self) -> int:
        """Data sets that were fitted."""
        return len(self.ranks)

    @cached_property
    def p_values(self) -> dict[str, float]:
        """By scalar, how often uniform ranks leave the diagonal as far; not adjusted for the number of scalars."""
        return {name: p_value(self.ranks[:, i], self.draws) for i, name in enumerate(self.names)}

    @cached_property
    def flagged(self) -> tuple[str, ...]:
        """Scalars whose ranks are not uniform, at `level` for all of them together (Holm 1979)."""
        ordered = sorted(self.p_values, key=lambda name: self.p_values[name])
        found = []
        for i, name in enumerate(ordered):
            if self.p_values[name] > (1 - self.level) / (len(ordered) - i):
                break
            found.append(name)
        return tuple(name for name in self.names if name in found)

    def table(self) -> "pd.DataFrame":
        """One row a scalar: verdict, p-value, greatest gap to the diagonal, and what shape the ranks have.

        Columns: `uniform`, the verdict; `p`, of the simultaneous ECDF test; `gap`, greatest difference of shares;
        `chi_square_p`, of the usual test on the rank histogram; `low`, z-score of the mean rank: positive where the posterior
        lies below the truth; `narrow`, z-score of the ranks' spread: positive where the posterior is too narrow; `sd`,
        posterior over prior deviation: how much such data tell; `echo`.
        """
        import pandas as pd

        fits, last = self.fits, self.draws + 1
        even = np.arange(1, last) / last
        place = (self.ranks + 0.5) / last
        variance = (1 - 1 / last**2) / 12
        fourth = (1 - 1 / last**2) * (3 - 7 / last**2) / 240
        spread = ((place - 0.5) ** 2).mean(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            told = np.sqrt((self.sd**2).mean(0)) / self.truth.std(0)
        return pd.DataFrame(
            {
                "uniform": [name not in self.flagged for name in self.names],
                "p": list(self.p_values.values()),
                "gap": np.abs(ecdf(self.ranks, self.draws) / fits - even[:, None]).max(0),
                "chi_square_p": [_chi_square(r, self.draws) for r in self.ranks.T],
                "low": (place.mean(0) - 0.5) / np.sqrt(variance / fits),
                "narrow": (spread - variance) / np.sqrt((fourth - variance**2) / fits),
                "sd": told,
                "echo": self.echo,
            },
            index=list(self.names),
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """What was found, as sentences; empty when nothing was."""
        table, found = self.table(), []
        for name in self.flagged:
            row = table.loc[name]
            tilt = "" if abs(row["low"]) < 3 else "too low" if row["low"] > 0 else "too high"
            width = "" if abs(row["narrow"]) < 3 else "too narrow" if row["narrow"] > 0 else "too wide"
            shape = " and ".join(x for x in (tilt, width) if x) or "of another shape"
            found.append(
                f"`{name}`: ranks are not uniform (p {row['p']:.1g}, gap {row['gap']:.2f}): the posterior is {shape}; "
                "compare `simulate` with the likelihood, or raise `warmup` and `target_accept`."
            )
        worst = int(np.argmax(self.echo))
        if self.echo[worst] > ECHO:
            found.append(
                f"`{self.names[worst]}`: neighbouring draws correlate by {self.echo[worst]:.2f} (above {ECHO}), and ranks "
                f"take them to be independent: raise `thin` from {self.settings['thin']}."
            )
        transitions = self.fits * self.draws * self.settings["thin"]
        if self.diverging.sum() > DIVERGENT * transitions:
            found.append(
                f"{int(self.diverging.sum())} of {transitions} transitions diverged, in {int((self.diverging > 0).sum())} "
                f"data sets: raise `target_accept` from {self.settings['target_accept']}, or tighten priors."
            )
        if (~self.settled).mean() > LOST:
            found.append(
                f"The mode was not reached in {int((~self.settled).sum())} of {self.fits} data sets, whose chains start "
                "elsewhere: tighten priors, or raise `warmup`."
            )
        return tuple(found)

    def plot(self, names: tuple[str, ...] | None = None) -> "Figure":
        """Rank histograms, and the ECDF's difference from the diagonal, with simultaneous bands.

        Args:
            names: of scalars; None takes the first eleven and the log likelihood.
        """
        from ._rank_plots import draw_ranks

        return draw_ranks(self, names)

    def save(self, path: str | os.PathLike) -> None:
        """Write one `.npz` file: arrays, and the rest as JSON. No pickle."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        arrays = {name: x for name, x in fields.items() if isinstance(x, np.ndarray)}
        plain = {name: x for name, x in fields.items() if name not in arrays}
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        with open(partial, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, fairhand=np.array(json.dumps(plain)), **arrays)
        os.replace(partial, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Calibration":
        """Open what `save` wrote.

        Raises:
            ValueError: there is no such file, or it is something else.
        """
        if not Path(path).exists():
            raise ValueError(f"`path` {path} does not exist.")
        with np.load(path, allow_pickle=False) as content:
            if "fairhand" not in content.files or "ranks" not in content.files:
                raise ValueError(f"`path` {path} is not a calibration saved by fairhand.")
            plain = json.loads(str(content["fairhand"]))
            arrays = {name: content[name] for name in content.files if name != "fairhand"}
        tuples = {name: tuple(plain[name]) for name in ("names", "seconds")}
        return cls(**arrays, **(plain | tuples))

    def __str__(self) -> str:
        kind, by = self.model["model"], self.settings["method"]
        verdict = f"{len(self.flagged)} of {len(self.names)} scalars are not" if self.flagged else "all scalars are"
        head = f"Calibration of {kind} by {by}: {self.fits} data sets, {self.draws} draws each; {verdict} uniform"
        notes = [self.status] if self.status else []
        return "\n".join([head, self.table().round(3).to_string(), *self.problems, *notes])


def calibrate(
    model: Any,
    data: Any,
    *,
    fits: int = 200,
    key: PRNGKeyArray | None = None,
    method: str = "nuts",
    draws: int = 63,
    warmup: int = 100,
    thin: int = 3,
    target_accept: float = 0.8,
    simulator: Any = None,
    level: float = 0.95,
    precision: Precision = "float64",
    batch_size: int | None = None,
    devices: Devices = "auto",
    progress: bool = True,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
) -> Calibration:
    r"""Check that the posterior of a model is right, on data simulated from its own priors.

    If :math:`\theta \sim p(\theta)` and :math:`y \sim p(y \mid \theta)`, then :math:`\theta` is one more draw of
    :math:`p(\theta \mid y)`, so its rank among L independent draws is uniform on 0, ..., L, for each scalar and for the
    log-probability of the data, which catches errors that no single parameter shows. This checks model, likelihood and
    sampler together; it says nothing of whether real people follow the model.

    All data sets are simulated and fitted side by side in one program: the mode by Newton's method from the model's own
    start, then a chain of NUTS in coordinates in which the Laplace approximation is standard normal. So a right result
    speaks for that sampler, `fit`'s with one chain and another warm-up, and for the model.

    Args:
        model: a model of `fairhand.models`, with proper priors.
        data: whose design all simulated data sets share: who is asked, menus, attributes. What was observed is not used.
        fits: data sets. 200 find a posterior that is 15 % too narrow, or off by 0.3 standard deviations.
        key: all randomness; `jax.random.key(0)` by default.
        method: `"nuts"`, or `"map"` to ask whether the Laplace approximation would do.
        draws: kept of each fit. `warmup`: before them. `thin`: steps from one to the next, so that they are independent.
        target_accept: NUTS's target acceptance probability.
        simulator: another model, which takes the same arguments, to draw parameters and data from: it shows what a wrong
            prior or likelihood looks like. None is `model`.
        level: of the bands, for all scalars together.
        precision: inside this call only. `batch_size`: data sets side by side; None chooses by their size.
        devices: shard data sets over so many devices.
        progress: show a bar in a terminal. `checkpoint`, `resume`: file to continue from after Ctrl-C, which returns what is
            done, or a crash.

    Returns:
        A `Calibration`: ranks, a table with a verdict for each scalar, problems as sentences, plots.

    Raises:
        ValueError: a model that cannot simulate, a flat prior, or a bad argument, by name.

    Source: S. Talts et al. (2018), "Validating Bayesian inference algorithms with simulation-based calibration"; T. Säilynoja,
    P.-C. Bürkner and A. Vehtari (2022), Statistics and Computing 32, for the bands; M. Modrák et al. (2023), Bayesian
    Analysis, for the log-likelihood.

    Example:
        >>> from fairhand.models import choice
        >>> x = np.random.default_rng(0).normal(size=(30, 3, 1))
        >>> data = choice.ChoiceData(x, np.zeros(30, int), ("a", "b", "c"), ("quality",))
        >>> model = choice.ConditionalLogit(("quality",), constants=False, prior_scale=1.0)
        >>> found = calibrate(model, data, fits=50, method="map")
        >>> found.ranks.shape, found.flagged
        ((50, 2), ())
    """
    check_model(model, data)
    if not 0.5 <= level < 1:
        raise ValueError(f"`level` must be at least 0.5 and below 1, got {level}.")
    settings = Settings(method, draws, warmup, thin if method == "nuts" else 1, target_accept)
    simulator = model if simulator is None else simulator
    key = key_of(key)
    found = refit(
        model, data, simulator, {}, fits=fits, key=key, settings=settings, precision=precision, batch_size=batch_size,
        devices=devices, label="calibrate", fingerprint=[model.to_spec(), simulator.to_spec()], progress=progress,
        checkpoint=checkpoint, resume=resume,
    )  # fmt: skip
    return Calibration(
        found.names, found.rank, draws, found.truth, found.mean, found.sd,
        found.echo.mean(0) + 1 / (draws - 1),  # the mean of a chain is its own, which lowers each correlation by so much
        found.diverging, found.settled, level, asdict(settings), model.to_spec(), simulator.to_spec(), found.seconds,
        found.status,
    )  # fmt: skip


def _chi_square(rank: np.ndarray, draws: int) -> float:
    """P-value of the chi-square test on the rank histogram, in bins of at least five expected ranks."""
    bins = max(1, min(draws + 1, len(rank) // 5))
    while (draws + 1) % bins:
        bins -= 1
    if bins < 2:
        return float("nan")
    counts = np.bincount(rank * bins // (draws + 1), minlength=bins)
    expected = len(rank) / bins
    return float(chi2.sf(((counts - expected) ** 2).sum() / expected, bins - 1))
