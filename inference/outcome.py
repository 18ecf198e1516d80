"""What a rule does, and how sure we are: a dataset and the questions people ask of it."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..mechanisms.objective import AbstractObjective

AXES = ("draw", "population", "coin")


class Outcome:
    """Metrics of rules by posterior draw, population and coin.

    Attributes:
        data: an `xarray.Dataset` with dimensions `rule`, `draw`, `population`, `coin` (where they apply) and, for vector
            metrics, `<metric>_item`. `supply excess` is always there: no rule is believed to be feasible.
        status: sentences; empty when everything ran and was solved.
        seconds: first chunks (compilation included) and the rest.
    """

    def __init__(self, data: xr.Dataset, status: tuple[str, ...] = (), seconds: tuple[float, ...] = (0.0, 0.0)):
        self.data, self.status, self.seconds = data, tuple(status), tuple(seconds)

    @classmethod
    def of(
        cls,
        data: Mapping[str, Mapping[str, np.ndarray]],
        questions: Mapping[str, Any],
        status: tuple[str, ...],
        seconds: tuple[float, ...],
    ) -> "Outcome":
        """Stack rules; the shorter of two interrupted rules decides how many draws are kept."""
        kept = {rule: arrays for rule, arrays in data.items() if arrays}
        if not kept:
            raise KeyboardInterrupt("Interrupted before the first chunk was done; nothing to return.")
        draws = min(len(next(iter(arrays.values()))) for arrays in kept.values())
        variables = {}
        for name in next(iter(kept.values())):
            if any(name not in arrays for arrays in kept.values()):
                continue
            parts = _aligned([arrays[name][:draws] for arrays in kept.values()])
            axes = ("draw",) if isinstance(questions.get(name), AbstractObjective) else AXES
            if name == "unsolved":
                axes = ("draw",)
            stacked = np.stack(parts)
            own = ["rule", *axes[: min(len(axes), stacked.ndim - 1)]]
            own += [f"{name}_item{i or ''}" for i in range(stacked.ndim - len(own))]
            if stacked.ndim > 3 and own[3:4] == ["coin"] and stacked.shape[3] == 1:
                stacked, own = stacked[:, :, :, 0], own[:3] + own[4:]
            variables[name] = (own, stacked)
        return cls(xr.Dataset(variables, coords={"rule": list(kept)}), status, seconds)

    def join(self, other: "Outcome") -> "Outcome":
        """Rules of both, played on the same populations (same key and sizes)."""
        data = xr.concat([self.data, other.data], "rule", join="exact")
        seconds = tuple(a + b for a, b in zip(self.seconds, other.seconds, strict=True))
        return Outcome(data, (*self.status, *other.status), seconds)

    @property
    def rules(self) -> list[str]:
        """Names of the rules."""
        return [str(x) for x in self.data.rule.values]

    def by_draw(self, metric: str) -> xr.DataArray:
        """Mean over populations and coins: what the metric is in each draw, dimensions rule, draw (and item)."""
        x = self._get(metric)
        return x.mean([d for d in ("population", "coin") if d in x.dims])

    def summary(self, interval: float = 0.9) -> pd.DataFrame:
        """Mean, credible interval over draws, and the three spreads, by rule and metric.

        `knowledge` is the standard deviation that a bigger survey would shrink, `sampling` that of who happens to come,
        `coins` that of the rule's own draws: an unbiased split of the variance (law of total variance), floored at 0.
        """
        rows = []
        for name in self.data.data_vars:
            x = self.data[name]
            if name == "unsolved":
                continue
            items = [d for d in x.dims if d not in ("rule", *AXES)]
            flat = x.stack(item=items) if items else x.expand_dims("item", -1)
            for rule in self.rules:
                for i in range(flat.sizes["item"]):
                    one = flat.sel(rule=rule).isel(item=i)
                    axes = [d for d in AXES if d in one.dims]
                    label = name if not items else f"{name}[{i}]"
                    rows.append({"rule": rule, "metric": label, **_spreads(one.transpose(*axes).values, interval)})
        return pd.DataFrame(rows).set_index(["metric", "rule"])

    def chance_better(self, metric: str, rule: str, than: str, higher: bool = True) -> float:
        """Posterior probability that `rule` beats `than` on the mean of `metric`; a tie (to 9 digits) counts one half."""
        x = self.by_draw(metric)
        a, b = x.sel(rule=rule).values, x.sel(rule=than).values
        gain = np.where(np.isclose(a, b, rtol=1e-9, atol=1e-12), 0.0, a - b) * (1 if higher else -1)
        return float(np.mean((gain > 0) + 0.5 * (gain == 0)))

    def regret(self, metric: str, rule: str, best: str) -> xr.DataArray:
        """By draw, what committing to `rule` loses against `best`, the rule designed for that draw."""
        x = self.by_draw(metric)
        return x.sel(rule=best) - x.sel(rule=rule)

    def to_netcdf(self, path: str | os.PathLike) -> None:
        """Save; `Outcome.load` opens it again. NetCDF, no pickle."""
        data = self.data.rename(
            {str(n): _plain(str(n)) for n in (*self.data.data_vars, *self.data.dims) if n != _plain(str(n))}
        )
        data = data.assign_attrs(status="\n".join(self.status), seconds=list(self.seconds))
        data = data.assign_attrs(names="\n".join(str(n) for n in (*self.data.data_vars, *self.data.dims)))
        data.to_netcdf(path, engine="h5netcdf", invalid_netcdf=False)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Outcome":
        """Open a saved outcome."""
        with xr.open_dataset(path, engine="h5netcdf") as file:
            data = file.load()
        names = {_plain(n): n for n in data.attrs.pop("names").split("\n")}
        status = tuple(x for x in data.attrs.pop("status").split("\n") if x)
        seconds = tuple(float(x) for x in np.atleast_1d(data.attrs.pop("seconds")))
        data = data.rename({a: b for a, b in names.items() if a != b and (a in data.data_vars or a in data.dims)})
        return cls(data, status, seconds)

    def _get(self, metric: str) -> xr.DataArray:
        if metric not in self.data.data_vars:
            raise ValueError(
                f"`metric` {metric!r} was not asked; there are {', '.join(map(str, self.data.data_vars))}."
            )
        return self.data[metric]

    def __repr__(self) -> str:
        return "\n".join([self.summary().round(4).to_string(), *self.status])


def _aligned(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Arrays of one shape: coins repeat, and a rule that has no such vector gets its NaN in every component."""
    rank = max(x.ndim for x in parts)
    return list(np.broadcast_arrays(*[x.reshape(x.shape + (1,) * (rank - x.ndim)) for x in parts]))


def _plain(name: str) -> str:
    return name.replace("/", "_per_").replace(" ", "_")


def _spreads(x: np.ndarray, interval: float) -> dict[str, float]:
    """Mean, interval of the per-draw means, and standard deviations by layer; missing layers are NaN."""
    while x.ndim < 3:
        x = x[..., None]
    with np.errstate(invalid="ignore"):  # a failed run is NaN, or infinite in excess, and so is what it touches
        return _spreads_of(x, interval)


def _spreads_of(x: np.ndarray, interval: float) -> dict[str, float]:
    draws, populations, coins = x.shape
    within = x.var(2, ddof=1).mean() if coins > 1 else np.nan
    of_population = x.mean(2)
    between = of_population.var(1, ddof=1).mean() if populations > 1 else np.nan
    of_draw = of_population.mean(1)
    across = of_draw.var(ddof=1) if draws > 1 else np.nan
    sampling = between - (within / coins if coins > 1 else 0.0)
    knowledge = across - (between / populations if populations > 1 else 0.0)
    low, high = np.quantile(of_draw, [(1 - interval) / 2, (1 + interval) / 2])
    root = lambda v: float(np.sqrt(np.maximum(v, 0)))
    return {
        "mean": float(x.mean()),
        "low": float(low),
        "high": float(high),
        "knowledge": root(knowledge),
        "sampling": root(sampling),
        "coins": root(within),
        "mc_error": root(across / draws) if draws > 1 else root(between / populations) if populations > 1 else np.nan,
    }
