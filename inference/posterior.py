"""What the data say: draws, their diagnosis, and worlds of who comes."""

import importlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..models.choice import ChoiceData
from ..models.supply import AbstractSupply
from ..models.world import AbstractWorld, Draws
from ._arviz import inference_data
from ._precision import precision_scope
from .diagnosis import Diagnosis, diagnose

ENGINE = "h5netcdf"


class Posterior:
    """Draws of a model's coefficients given data, and what to make of them.

    Attributes:
        model, data: what was fitted to what.
        groups: `xarray` datasets by ArviZ group: posterior, sample_stats, observed_data, constant_data.
        diagnosis: R-hat, effective sizes, divergences, and advice.
        method: `"nuts"` or `"laplace"`.
        mode: coefficients at the posterior mode (in the sampler's coordinates), by name.
        seconds: first chunk (compilation included) and the rest.
    """

    def __init__(self, model: Any, data: Any, groups: dict[str, xr.Dataset], diagnosis: Diagnosis, **facts: Any):
        self.model, self.data, self.groups, self.diagnosis = model, data, groups, diagnosis
        self.method: str = facts["method"]
        self.precision: str = facts["precision"]
        self.mode: dict[str, float] = facts["mode"]
        self.seconds: tuple[float, float] = tuple(facts["seconds"])

    @classmethod
    def of(cls, model, data, sites, centre, sampler, notes, method, precision, target, seconds) -> "Posterior":
        """Assemble from arrays `[chains, draws, ...]` by site."""
        coords, dims = model.coords(data), model.dims()

        def dataset(arrays: dict[str, np.ndarray]) -> xr.Dataset:
            named = {
                name: (["chain", "draw", *dims.get(name, [f"{name}_dim{i}" for i in range(x.ndim - 2)])], x)
                for name, x in arrays.items()
            }
            used = {d for axes, _ in named.values() for d in axes}
            labels = {name: values for name, values in coords.items() if name in used}
            return xr.Dataset(named, coords=labels)

        groups = {
            "posterior": dataset(sites),
            "sample_stats": dataset(sampler),
            "observed_data": xr.Dataset({"chosen": ("situation", np.asarray(data.chosen))}),
            "constant_data": _data_to_dataset(data),
        }
        names = model.names(data.alternatives)
        values = {name: sites["coefficient"][..., i] for i, name in enumerate(names)}
        diagnosis = diagnose(values, sampler, method, target, notes)
        mode = dict(zip(names, np.asarray(centre["coefficient"], float).tolist(), strict=True))
        return cls(model, data, groups, diagnosis, method=method, precision=precision, mode=mode, seconds=seconds)

    @property
    def names(self) -> tuple[str, ...]:
        """The coefficients, in order."""
        return self.model.names(self.data.alternatives)

    @property
    def coefficient(self) -> np.ndarray:
        """All draws of the coefficients, `[chains * draws, coefficients]`, as estimated, in the units of the data."""
        x = self.groups["posterior"]["coefficient"].values
        return x.reshape(-1, x.shape[-1])

    @property
    def mean(self) -> dict[str, float]:
        """Posterior means by name."""
        return dict(zip(self.names, self.coefficient.mean(0).tolist(), strict=True))

    @property
    def sd(self) -> dict[str, float]:
        """Posterior standard deviations by name."""
        return dict(zip(self.names, self.coefficient.std(0).tolist(), strict=True))

    def world(
        self,
        *,
        supply: AbstractSupply,
        new: int | None = None,
        same: bool = False,
        draws: int | None = 200,
        **where: Any,
    ) -> Draws:
        """Who comes, one world a draw: `new` strangers, or the `same` people that are in the data.

        Args:
            supply: what there is to share.
            new: how many strangers. `same`: the people in the data, their errors drawn given what they chose.
            draws: how many posterior draws, evenly spaced; None takes all.
            **where: passed to the model, e.g. `outside="car"`, `kind=groups`.

        Raises:
            ValueError: neither or both of `new` and `same`.
        """
        coefficient = self.coefficient
        if draws is not None:
            keep = np.linspace(0, len(coefficient) - 1, min(draws, len(coefficient))).round().astype(int)
            coefficient = coefficient[keep]
        world: AbstractWorld = self.model.world(coefficient, self.data, supply=supply, new=new, same=same, **where)
        if not isinstance(world, Draws):
            raise TypeError("the model's world has no axis of draws")
        return world

    def log_likelihood(self, batch_size: int = 200) -> np.ndarray:
        """Log-probability of each observation in each draw, `[chains, draws, situations]`, in bounded memory."""
        x = self.groups["posterior"]["coefficient"].values
        design, available, chosen = self.model.arguments(self.data)[:3]
        flat = x.reshape(-1, x.shape[-1])
        with precision_scope(self.precision):  # pyright: ignore[reportArgumentType]
            parts = [
                np.asarray(self.model.pointwise(flat[i : i + batch_size], design, available, chosen))
                for i in range(0, len(flat), batch_size)
            ]
        return np.concatenate(parts).reshape(*x.shape[:2], -1)

    def inference_data(self, log_likelihood: bool = False) -> Any:
        """For ArviZ: `InferenceData`, or a `DataTree` under ArviZ 1."""
        groups = dict(self.groups)
        if log_likelihood:
            axes = ("chain", "draw", "situation")
            groups["log_likelihood"] = xr.Dataset({"chosen": (axes, self.log_likelihood())})
        return inference_data(groups)

    def save(self, path: str | os.PathLike) -> None:
        """Write one NetCDF file: groups for ArviZ, and model, data and diagnosis as JSON in its attributes. No pickle."""
        path = Path(path)
        facts = {
            "model": self.model.to_spec(),
            "method": self.method,
            "precision": self.precision,
            "mode": self.mode,
            "seconds": self.seconds,
            "notes": self.diagnosis.notes,
            "alternatives": self.data.alternatives,
            "columns": self.data.columns,
            "source": self.data.source,
            "sha256": self.data.sha256,
        }
        partial = path.with_suffix(".partial")
        xr.Dataset(attrs={"fairhand": json.dumps(facts)}).to_netcdf(partial, mode="w", engine=ENGINE)
        for name, group in self.groups.items():
            group.to_netcdf(partial, mode="a", group=name, engine=ENGINE, invalid_netcdf=False)
        os.replace(partial, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Posterior":
        """Open what `save` wrote.

        Raises:
            ValueError: the file is not a posterior of this library.
        """
        if not Path(path).exists():
            raise ValueError(f"`path` {path} does not exist.")
        with xr.open_dataset(path, engine=ENGINE) as head:
            if "fairhand" not in head.attrs:
                raise ValueError(f"`path` {path} is not a posterior saved by fairhand.")
            facts = json.loads(head.attrs["fairhand"])
        groups = {}
        for name in ("posterior", "sample_stats", "observed_data", "constant_data"):
            with xr.open_dataset(path, group=name, engine=ENGINE) as group:
                groups[name] = group.load()
        kind = getattr(importlib.import_module("..models.choice", __package__), facts["model"]["model"])
        model = kind.from_spec(facts["model"])
        data = _data_from_dataset(groups["constant_data"], groups["observed_data"], facts)
        sampler = {name: x.values for name, x in groups["sample_stats"].data_vars.items()}
        draws = groups["posterior"]["coefficient"].values
        values = {name: draws[..., i] for i, name in enumerate(model.names(data.alternatives))}
        diagnosis = diagnose(values, sampler, facts["method"], 0.8, tuple(facts["notes"]))
        return cls(model, data, groups, diagnosis, **{k: facts[k] for k in ("method", "precision", "mode", "seconds")})

    def __repr__(self) -> str:
        head = f"Posterior of {type(self.model).__name__} by {self.method}, {len(self.coefficient)} draws"
        return f"{head}\n{self.diagnosis}"


def load(path: str | os.PathLike) -> Posterior:
    """Open a posterior that `Posterior.save` wrote."""
    return Posterior.load(path)


def _data_to_dataset(data: ChoiceData) -> xr.Dataset:
    axes = ("situation", "alternative")
    return xr.Dataset(
        {
            "attributes": ((*axes, "column"), data.attributes),
            "available": (axes, data.available.astype("int8")),
            "person": ("situation", data.person),
            "weight": ("situation", data.weight),
            "situation_name": ("situation", np.asarray(data.situations).astype(str)),
            "person_name": ("people", np.asarray(data.people).astype(str)),
        }
    )


def _data_from_dataset(constant: xr.Dataset, observed: xr.Dataset, facts: dict[str, Any]) -> ChoiceData:
    return ChoiceData(
        attributes=constant["attributes"].values,
        chosen=observed["chosen"].values,
        alternatives=tuple(facts["alternatives"]),
        columns=tuple(facts["columns"]),
        available=constant["available"].values.astype(bool),
        person=constant["person"].values,
        weight=constant["weight"].values,
        situations=constant["situation_name"].values.astype(str),
        people=constant["person_name"].values.astype(str),
        source=facts["source"],
        sha256=facts["sha256"],
    )
