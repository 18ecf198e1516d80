"""What the data say: draws, their diagnosis, and worlds of who comes."""

import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from ..models.world import AbstractWorld, Draws
from ._arviz import inference_data
from ._precision import precision_scope, to_numpy
from .diagnosis import Diagnosis, diagnose

ENGINE = "h5netcdf"
ROOMS = ("choice", "ratings")  # of `models`, where classes named in files are looked up


class Posterior:
    """Draws of a model's parameters given data, and what to make of them.

    Attributes:
        model, data: what was fitted to what.
        groups: `xarray` datasets by ArviZ group: posterior, sample_stats, observed_data, constant_data.
        diagnosis: R-hat, effective sizes, divergences, and advice.
        method: `"nuts"` or `"laplace"`.
        mode: parameters at the posterior mode (in the sampler's coordinates), by name.
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
            "observed_data": xr.Dataset(data.observed()),
            "constant_data": xr.Dataset(data.constant()),
        }
        diagnosis = diagnose(model.scalars(sites, data), sampler, method, target, notes)
        mode = {name: float(x) for name, x in model.scalars(centre, data).items()}
        return cls(model, data, groups, diagnosis, method=method, precision=precision, mode=mode, seconds=seconds)

    @property
    def sites(self) -> dict[str, np.ndarray]:
        """All draws of every site of the model, `[chains * draws, ...]`, by name."""
        found = self.groups["posterior"].data_vars.items()
        return {str(name): x.values.reshape(-1, *x.shape[2:]) for name, x in found}

    @property
    def scalars(self) -> dict[str, np.ndarray]:
        """All draws of the numbers the diagnosis judges, `[chains * draws]`, by name."""
        return self.model.scalars(self.sites, self.data)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters, in order."""
        return tuple(self.scalars)

    @property
    def coefficient(self) -> np.ndarray:
        """All draws of a logit's coefficients, `[chains * draws, coefficients]`, as estimated, in the units of the data."""
        return self.sites["coefficient"]

    @property
    def mean(self) -> dict[str, float]:
        """Posterior means by name."""
        return {name: float(x.mean()) for name, x in self.scalars.items()}

    @property
    def sd(self) -> dict[str, float]:
        """Posterior standard deviations by name."""
        return {name: float(x.std()) for name, x in self.scalars.items()}

    def thinned(self, draws: int | None) -> dict[str, np.ndarray]:
        """`sites` of so many draws, evenly spaced; None takes all."""
        sites = self.sites
        total = len(next(iter(sites.values())))
        keep = np.linspace(0, total - 1, total if draws is None else min(draws, total)).round().astype(int)
        return {name: x[keep] for name, x in sites.items()}

    def world(self, *, draws: int | None = 200, **where: Any) -> Draws:
        """Who comes, one world a draw; what else to say is the model's to ask.

        Args:
            draws: how many posterior draws, evenly spaced; None takes all.
            **where: passed to the model. Choices: `supply=`, and `new=50` strangers or `same=True`, the people in the
                data, their errors drawn given what they chose; also `outside="car"`, `kind=groups`. Ratings: `agents=`
                and `items=` for strangers, `same=True` for the people in the data.

        Raises:
            ValueError: the model refuses what was said.
        """
        with precision_scope(self.precision), jax.numpy_rank_promotion("allow"):  # pyright: ignore[reportArgumentType]
            world: AbstractWorld = self.model.worlds(self.thinned(draws), self.data, **where)
        if not isinstance(world, Draws):
            raise TypeError("the model's world has no axis of draws")
        return to_numpy(world)

    def law(self, *, draws: int | None = None) -> Any:
        """The posterior of value laws: a law whose leaves carry a leading axis of draws, or a tuple of one per agent.

        Args:
            draws: how many posterior draws, evenly spaced; None takes all.

        Raises:
            ValueError: the model knows no value law; models of `fairhand.models.ratings` do.
        """
        if not hasattr(self.model, "laws"):
            raise ValueError(
                f"`{type(self.model).__name__}` has no law of cardinal values: fit a model of `fairhand.models.ratings`."
            )
        return self.model.laws(self.thinned(draws), self.data)

    def log_likelihood(self, batch_size: int = 200) -> np.ndarray:
        """Log-probability of each observation in each draw, `[chains, draws, observations]`, in bounded memory."""
        sites, sizes = self.sites, self.groups["posterior"].sizes
        with precision_scope(self.precision), jax.numpy_rank_promotion("allow"):  # pyright: ignore[reportArgumentType]
            parts = [
                np.asarray(self.model.log_densities({k: x[i : i + batch_size] for k, x in sites.items()}, self.data))
                for i in range(0, sizes["chain"] * sizes["draw"], batch_size)
            ]
        each = np.concatenate(parts)
        return each.reshape(sizes["chain"], sizes["draw"], *each.shape[1:])

    def inference_data(self, log_likelihood: bool = False, derived: Mapping[str, Any] | None = None) -> Any:
        """For ArviZ: `InferenceData`, or a `DataTree` under ArviZ 1.

        Args:
            log_likelihood: add the log-probability of each observation.
            derived: functions of the parameters by name, `[chains * draws, ...]` in the order of `law(draws=None)`;
                they join the posterior, so that ArviZ summarises and judges them as it does the parameters.

        Raises:
            ValueError: a derived variable has not one entry for each draw, or the name of a parameter.
        """
        groups = dict(self.groups)
        if log_likelihood:
            name, dimension = self.model.observation
            groups["log_likelihood"] = xr.Dataset({name: (("chain", "draw", dimension), self.log_likelihood())})
        if derived is not None:
            groups["posterior"] = groups["posterior"].assign(self._by_chain(derived))
        return inference_data(groups)

    def _by_chain(self, derived: Mapping[str, Any]) -> dict[str, tuple[list[str], np.ndarray]]:
        sizes, named = self.groups["posterior"].sizes, {}
        for name, x in derived.items():
            x = np.asarray(x)
            if x.shape[:1] != (sizes["chain"] * sizes["draw"],):
                raise ValueError(
                    f"`derived[{name!r}]` must have one entry for each of the {sizes['chain'] * sizes['draw']} draws; it "
                    f"has shape {x.shape}. Take all of them: `law(draws=None)`."
                )
            if name in self.groups["posterior"]:
                raise ValueError(f"`derived[{name!r}]` is the name of a parameter: rename it.")
            axes = ["chain", "draw", *(f"{name}_dim{i}" for i in range(x.ndim - 1))]
            named[name] = (axes, x.reshape(sizes["chain"], sizes["draw"], *x.shape[1:]))
        return named

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
            **self.data.facts(),
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
        kind = _model_named(facts["model"]["model"])
        model = kind.from_spec(facts["model"])
        plain = lambda name: {str(k): x.values for k, x in groups[name].data_vars.items()}
        data = kind.data_type.from_saved(plain("observed_data"), plain("constant_data"), facts)
        values = model.scalars(plain("posterior"), data)
        diagnosis = diagnose(values, plain("sample_stats"), facts["method"], 0.8, tuple(facts["notes"]))
        return cls(model, data, groups, diagnosis, **{k: facts[k] for k in ("method", "precision", "mode", "seconds")})

    def __repr__(self) -> str:
        sizes = self.groups["posterior"].sizes
        head = f"Posterior of {type(self.model).__name__} by {self.method}, {sizes['chain'] * sizes['draw']} draws"
        return f"{head}\n{self.diagnosis}"


def load(path: str | os.PathLike) -> Posterior:
    """Open a posterior that `Posterior.save` wrote."""
    return Posterior.load(path)


def _model_named(name: str) -> Any:
    """The class of a model, looked up in the rooms of `models` only: a file may not name anything else."""
    for room in ROOMS:
        found = getattr(importlib.import_module(f"..models.{room}", __package__), name, None)
        if found is not None and hasattr(found, "from_spec"):
            return found
    raise ValueError(f"the file holds a posterior of `{name}`, which this version of fairhand does not have.")
