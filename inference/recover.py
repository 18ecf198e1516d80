"""Would data of this design recover what they were made of? Bias, error and coverage over many simulated data sets."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray

from ._asked import check_model, key_of
from ._devices import Devices
from ._precision import Precision
from ._refits import LEVELS, Settings, refit
from .posterior import Posterior

if TYPE_CHECKING:
    import pandas as pd

INTERVALS = {"50%": (0.25, 0.75), "90%": (0.05, 0.95)}


@dataclass(frozen=True)
class Recovery:
    """Truth and posterior of each simulated data set, and how they compare.

    Attributes:
        names: of the scalars.
        truth: `[fits, scalars]`, what the data were simulated with.
        mean, sd: `[fits, scalars]`, of the posterior.
        quantiles: `[fits, 4, scalars]`, of the posterior at 5, 25, 75 and 95 %.
        settled: `[fits]`, whether the mode was reached. `diverging`: `[fits]`, transitions that diverged.
        averaged: whether truths were drawn (from priors or a posterior) and not the same for all data sets.
        seconds: first batch, compilation included, and the rest.
        status: empty, or that it was interrupted.
    """

    names: tuple[str, ...]
    truth: Float[np.ndarray, "fits scalars"]
    mean: Float[np.ndarray, "fits scalars"]
    sd: Float[np.ndarray, "fits scalars"]
    quantiles: Float[np.ndarray, "fits levels scalars"]
    settled: Bool[np.ndarray, " fits"]
    diverging: np.ndarray
    averaged: bool
    seconds: tuple[float, float]
    status: str

    @property
    def fits(self) -> int:
        """Data sets that were fitted."""
        return len(self.truth)

    def table(self) -> "pd.DataFrame":
        """One row a scalar, each number with its Monte-Carlo error.

        Columns: `truth`, its mean; `bias`, mean of posterior mean minus truth, and `bias_error`; `rmse`, root mean square of
        it; `sd`, mean posterior deviation, to compare with `rmse`; `50%` and `90%`, share of data sets whose central
        interval covers the truth, and `50%_error`, `90%_error`, binomial, at the nominal share.
        """
        import pandas as pd

        away = self.mean - self.truth
        columns = {
            "truth": self.truth.mean(0),
            "bias": away.mean(0),
            "bias_error": away.std(0, ddof=1) / np.sqrt(self.fits),
            "rmse": np.sqrt((away**2).mean(0)),
            "sd": self.sd.mean(0),
        }
        for name, ends in INTERVALS.items():
            low, high = (self.quantiles[:, LEVELS.index(end)] for end in ends)
            columns[name] = ((low <= self.truth) & (self.truth <= high)).mean(0)
            share = ends[1] - ends[0]
            columns[f"{name}_error"] = np.full(len(self.names), np.sqrt(share * (1 - share) / self.fits))
        return pd.DataFrame(columns, index=list(self.names))

    @property
    def problems(self) -> tuple[str, ...]:
        """Scalars whose intervals cover too little or too much, by more than 3.3 errors; empty when there are none.

        For one fixed truth a Bayesian interval need not cover at its level: priors pull. Then read this as a fact about the
        design, not as a fault.
        """
        table, found = self.table(), []
        for name in self.names:
            row = {column: float(table.loc[name, column]) for column in table.columns}  # pyright: ignore[reportArgumentType]
            for interval, ends in INTERVALS.items():
                share = ends[1] - ends[0]
                if abs(row[interval] - share) > 3.3 * row[f"{interval}_error"]:
                    cure = (
                        "calibrate the model" if self.averaged else "the prior pulls, or the design tells little of it"
                    )
                    found.append(
                        f"`{name}`: its {interval} interval covers the truth in {row[interval]:.0%} of {self.fits} data sets "
                        f"(error {row[f'{interval}_error']:.1%}), bias {row['bias']:.2g} at a deviation of {row['sd']:.2g}: "
                        f"{cure}."
                    )
        return tuple(found)

    def __str__(self) -> str:
        kind = "truths drawn" if self.averaged else "one truth"
        notes = [self.status] if self.status else []
        return "\n".join(
            [f"Recovery from {self.fits} data sets, {kind}", self.table().round(3).to_string(), *self.problems, *notes]
        )


def recover(
    model: Any,
    data: Any,
    truth: Posterior | Mapping[str, Any] | None = None,
    *,
    fits: int = 200,
    key: PRNGKeyArray | None = None,
    method: str = "nuts",
    draws: int = 100,
    warmup: int = 100,
    thin: int = 2,
    target_accept: float = 0.8,
    precision: Precision = "float64",
    batch_size: int | None = None,
    devices: Devices = "auto",
    progress: bool = True,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
) -> Recovery:
    """See how well data of this design tell parameters that are known, because the data are simulated with them.

    Every data set is simulated and fitted as in `calibrate`, in one program. With truths from the prior, intervals cover at
    their level if the posterior is right; with one truth they show what this design can tell of parameters like those.

    Args:
        model: a model of `fairhand.models`.
        data: whose design all simulated data sets share. What was observed is not used.
        truth: sites of the model by name, the same for all data sets (what is left out is drawn from its prior); or a
            `Posterior` of this model, whose draws are truths in turn; or None, to draw all from the priors.
        fits: data sets. `key`: all randomness; `jax.random.key(0)` by default.
        method: `"nuts"`, or `"map"` for the Laplace approximation.
        draws: kept of each fit. `warmup`: before them. `thin`: steps from one to the next.
        target_accept: NUTS's target acceptance probability.
        precision: inside this call only. `batch_size`: data sets side by side; None chooses by their size.
        devices: shard data sets over so many devices.
        progress: show a bar in a terminal. `checkpoint`, `resume`: file to continue from.

    Returns:
        A `Recovery`: a table of bias, error and coverage by scalar, with Monte-Carlo errors.

    Raises:
        ValueError: sites that the model does not have, a flat prior of what is not given, or a bad argument, by name.

    Example:
        >>> from fairhand.models import choice
        >>> x = np.random.default_rng(0).normal(size=(30, 3, 1))
        >>> data = choice.ChoiceData(x, np.zeros(30, int), ("a", "b", "c"), ("quality",))
        >>> model = choice.ConditionalLogit(("quality",), constants=False, prior_scale=1.0)
        >>> table = recover(model, data, fits=50, method="map").table()
        >>> bool(abs(table.loc["quality", "bias"]) < 0.3)
        True
    """
    check_model(model, data)
    settings = Settings(method, draws, warmup, thin if method == "nuts" else 1, target_accept)
    key = key_of(key)
    truths = _truths(model, data, truth, fits)
    mark = {name: np.asarray(x).tolist() for name, x in truths.items()}
    found = refit(
        model, data, model, truths, fits=fits, key=key, settings=settings, precision=precision, batch_size=batch_size,
        devices=devices, label="recover", fingerprint=[model.to_spec(), mark], progress=progress, checkpoint=checkpoint,
        resume=resume,
    )  # fmt: skip
    own = slice(0, len(found.names) - 1)  # the log-likelihood is no parameter
    averaged = truth is None or isinstance(truth, Posterior) or set(truths) < set(model.start(data))
    return Recovery(
        found.names[own], found.truth[:, own], found.mean[:, own], found.sd[:, own], found.quantiles[:, :, own],
        found.settled, found.diverging, averaged, found.seconds, found.status,
    )  # fmt: skip


def _truths(model: Any, data: Any, truth: Any, fits: int) -> dict[str, np.ndarray]:
    """Sampled sites that are given, `[fits, *site]`."""
    if truth is None:
        return {}
    sampled = list(model.start(data))
    if isinstance(truth, Posterior):
        if truth.model.to_spec() != model.to_spec():
            raise ValueError(f"`truth` is a posterior of {truth.model!r}, and the model to recover is {model!r}.")
        sites = truth.sites
        total = len(next(iter(sites.values())))
        at = np.linspace(0, total - 1, fits).round().astype(int)
        return {name: sites[name][at] for name in sampled}
    for name in truth:
        if name not in sampled:
            raise ValueError(
                f"`truth` names `{name}`, which is not sampled: {type(model).__name__} samples {', '.join(sampled)}."
            )
    return {name: np.broadcast_to(np.asarray(x, float), (fits, *np.shape(x))) for name, x in dict(truth).items()}
