"""What the data say: draws, their diagnosis, worlds of who comes, and what the model predicts."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import PRNGKeyArray

from ..models.world import AbstractWorld, Draws
from . import _storage
from ._arviz import inference_data
from ._asked import check_whole
from ._batches import BatchSize, batch_size_of, batches
from ._precision import precision_scope, to_numpy
from .diagnosis import Diagnosis, diagnose

if TYPE_CHECKING:
    from .check import Check
    from .compare import LeaveOneOut
    from .tastes import Ratio

ROOMS = ("choice", "rankings", "ratings", "social")  # of `models`, where classes named in files are looked up


class Posterior:
    """Draws of a model's parameters given data, and what to make of them.

    Attributes:
        model, data: what was fitted to what.
        groups: `xarray` datasets by ArviZ group: posterior, sample_stats, observed_data, constant_data, and perhaps prior,
            posterior_predictive and others.
        diagnosis: R-hat, effective sizes, divergences, k-hat, contraction, and advice.
        method: `"nuts"`, `"laplace"`, `"svi"`, ..., or `"prior"` for draws that no data moved.
        how: one line on how the draws were made and why so.
        mode: parameters at the posterior mode (in the sampler's coordinates), by name; empty where none was sought.
        seconds: first chunk (compilation included) and the rest.
        dropped: sites that a file with `draws="globals"` left out.
    """

    def __init__(self, model: Any, data: Any, groups: dict[str, xr.Dataset], diagnosis: Diagnosis, **facts: Any):
        self.model, self.data, self.groups, self.diagnosis = model, data, groups, diagnosis
        self.method: str = facts["method"]
        self.precision: str = facts["precision"]
        self.mode: dict[str, float] = facts["mode"]
        self.seconds: tuple[float, float] = tuple(facts["seconds"])
        self.how: str = facts.get("how", "")
        self.dropped: tuple[str, ...] = tuple(facts.get("dropped", ()))

    @classmethod
    def of(
        cls, model, data, sites, centre, sampler, notes, method, precision, target, seconds, *,
        how: str = "", k_hat: Any = None, prior: dict[str, np.ndarray] | None = None,
        groups: Mapping[str, xr.Dataset] | None = None,
    ) -> "Posterior":  # fmt: skip
        """Assemble and judge.

        Args:
            model, data: what was fitted to what. `sites`: arrays `[chains, draws, ...]` by site.
            centre: sites at the mode, or None. `sampler`: statistics `[chains, draws]`. `notes`: for the diagnosis.
            method, precision, target, seconds, how: facts, as in the class; `target` is NUTS's acceptance probability.
            k_hat, prior: for `diagnose`: k-hat of an approximation, and draws of the prior by parameter name.
            groups: further ArviZ groups to keep.
        """
        coords, dims = model.coords(data), model.dims()

        def dataset(arrays: dict[str, np.ndarray]) -> xr.Dataset:
            named = {
                name: (["chain", "draw", *dims.get(name, [f"{name}_dim{i}" for i in range(x.ndim - 2)])], x)
                for name, x in arrays.items()
            }
            used = {d for axes, _ in named.values() for d in axes}
            labels = {name: values for name, values in coords.items() if name in used}
            return xr.Dataset(named, coords=labels)

        found = {
            "posterior": dataset(sites),
            "sample_stats": dataset(sampler),
            "observed_data": xr.Dataset(data.observed()),
            "constant_data": xr.Dataset(data.constant()),
            **(groups or {}),
        }
        diagnosis = diagnose(
            model.scalars(sites, data), sampler, method, target, notes, k_hat=k_hat, prior=prior
        )  # fmt: skip
        mode = {} if centre is None else {name: float(x) for name, x in model.scalars(centre, data).items()}
        facts = {"method": method, "precision": precision, "mode": mode, "seconds": seconds, "how": how}
        return cls(model, data, found, diagnosis, **facts)

    @property
    def sites(self) -> dict[str, np.ndarray]:
        """All draws of every site of the model, `[chains * draws, ...]`, by name."""
        found = self.groups["posterior"].data_vars.items()
        return {str(name): x.values.reshape(-1, *x.shape[2:]) for name, x in found}

    @property
    def scalars(self) -> dict[str, np.ndarray]:
        """All draws of the numbers the diagnosis judges, `[chains * draws]`, by name."""
        with self.whole():
            return self.model.scalars(self.sites, self.data)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters, in order."""
        return tuple(str(name) for name in self.diagnosis.table.index) if self.dropped else tuple(self.scalars)

    @property
    def coefficient(self) -> np.ndarray:
        """All draws of a logit's coefficients, `[chains * draws, coefficients]`, as estimated, in the units of the data."""
        return self.sites["coefficient"]

    @property
    def mean(self) -> dict[str, float]:
        """Posterior means by name."""
        return self._column("mean") if self.dropped else {name: float(x.mean()) for name, x in self.scalars.items()}

    @property
    def sd(self) -> dict[str, float]:
        """Posterior standard deviations by name."""
        return self._column("sd") if self.dropped else {name: float(x.std()) for name, x in self.scalars.items()}

    def _column(self, name: str) -> dict[str, float]:
        return {str(row): float(x) for row, x in self.diagnosis.table[name].to_dict().items()}

    def thinned(self, draws: int | None) -> dict[str, np.ndarray]:
        """`sites` of so many draws, evenly spaced; None takes all."""
        if draws is not None:
            check_whole("draws", draws)
        sites = self.sites
        total = len(next(iter(sites.values())))
        keep = np.linspace(0, total - 1, total if draws is None else min(draws, total)).round().astype(int)
        return {name: x[keep] for name, x in sites.items()}

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Within it, asking for a site that was not saved is refused with the cure."""
        try:
            yield
        except KeyError as missing:
            if missing.args[:1] and missing.args[0] in self.dropped:
                raise ValueError(
                    f"This posterior was saved with `draws='globals'`, without `{missing.args[0]}`, which has an entry for "
                    "each person: save with `draws='all'`, or fit again."
                ) from missing
            raise

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Within it JAX computes in this posterior's precision, and NumPyro may promote ranks."""
        with self.whole(), precision_scope(self.precision), jax.numpy_rank_promotion("allow"):  # pyright: ignore[reportArgumentType]
            yield

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
        with self.computing():
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
        with self.whole():
            return self.model.laws(self.thinned(draws), self.data)

    def log_likelihood(self, batch_size: BatchSize = "auto") -> np.ndarray:
        """Log-probability of each observation in each draw, `[chains, draws, observations]`, in bounded memory."""
        sites, sizes = self.sites, self.groups["posterior"].sizes
        total = sizes["chain"] * sizes["draw"]
        parts = []
        with self.computing():
            for rows, some in batches(sites, batch_size_of(batch_size, self.data, sites, total)):
                parts.append(np.asarray(self.model.log_densities(some, self.data))[: rows.stop - rows.start])
        each = np.concatenate(parts)
        return each.reshape(sizes["chain"], sizes["draw"], *each.shape[1:])

    def predictive(
        self, *, key: PRNGKeyArray | None = None, draws: int | None = None, batch_size: BatchSize = "auto"
    ) -> xr.Dataset:
        """Data that might have been seen instead, one set a draw; see `inference.predictive`."""
        from .predictive import predictive

        return predictive(self, key=key, draws=draws, batch_size=batch_size)

    def check(self, statistics: Any = None, **options: Any) -> "Check":
        """Could the model have given such data? Statistics of the data beside those it predicts; see `inference.check`."""
        from .check import check

        return check(self, statistics, **options)

    def loo(self, by: str = "observation") -> "LeaveOneOut":
        """How well each observation, or each person, is predicted from the others; see `inference.compare`."""
        from .compare import leave_one_out

        return leave_one_out(self, by)

    def people(self, level: float = 0.9) -> xr.Dataset:
        """What each person wants, by name: mean, sd and interval of their own parameters; see `inference.tastes`."""
        from .tastes import people

        return people(self, level)

    def ratio(self, numerator: str, denominator: str, level: float = 0.9) -> "Ratio":
        """How much of one attribute is given up for another, with an interval; see `inference.tastes`."""
        from .tastes import ratio

        return ratio(self, numerator, denominator, level)

    def predict(self, data: Any = None, **options: Any) -> xr.Dataset:
        """Chances of each alternative, also where attributes are changed; see `inference.counterfactual`."""
        from .counterfactual import predict

        return predict(self, data, **options)

    def elasticities(self, attribute: str, **options: Any) -> xr.Dataset:
        """By how many per cent shares change with one per cent of an attribute; see `inference.counterfactual`."""
        from .counterfactual import elasticities

        return elasticities(self, attribute, **options)

    def inference_data(
        self,
        log_likelihood: bool = False,
        derived: Mapping[str, Any] | None = None,
        predictive: bool = False,
        prior: "Posterior | None" = None,
    ) -> Any:
        """For ArviZ: `InferenceData`, or a `DataTree` under ArviZ 1.

        Args:
            log_likelihood: add the log-probability of each observation.
            derived: functions of the parameters by name, `[chains * draws, ...]` in the order of `law(draws=None)`;
                they join the posterior, so that ArviZ summarises and judges them as it does the parameters.
            predictive: add `posterior_predictive`, one set of data a draw, and `prior_predictive` where there is a prior.
            prior: what `fairhand.prior` gave; it becomes the group `prior`.

        Raises:
            ValueError: a derived variable has not one entry for each draw, or the name of a parameter.
        """
        groups = dict(self.groups)
        if log_likelihood:
            name, dimension = self.model.observation
            groups["log_likelihood"] = xr.Dataset({name: (("chain", "draw", dimension), self.log_likelihood())})
        if derived is not None:
            groups["posterior"] = groups["posterior"].assign(self._by_chain(derived))
        if predictive:
            groups["posterior_predictive"] = self.predictive()
        if prior is not None:
            groups["prior"] = prior.groups["posterior"]
            if predictive:
                groups["prior_predictive"] = prior.predictive()
        if self.method == "prior":
            groups = {name.replace("posterior", "prior"): g for name, g in groups.items() if name != "sample_stats"}
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

    def summary(self) -> dict[str, Any]:
        """Everything but the draws, as JSON can hold it: model, origin of the data, diagnosis, correlations."""
        return _storage.summary(self)

    def save(self, path: str | os.PathLike, draws: _storage.Keep = "all") -> None:
        """Write one NetCDF file: groups for ArviZ, and model, data and diagnosis as JSON in its attributes. No pickle.

        Args:
            path: where to. A name that ends in `.json` gets the `summary`, without draws.
            draws: `"all"`, or `"globals"`, which leaves out what has an entry for each person and keeps the file small.

        Raises:
            ValueError: `draws` is unknown, or nothing would be left.
        """
        if Path(path).suffix == ".json":
            _storage.write_summary(self, Path(path))
        else:
            _storage.write(self, Path(path), draws)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Posterior":
        """Open what `save` wrote.

        Raises:
            ValueError: the file is not a posterior of this library.
        """
        return cls(**_storage.read(Path(path), ROOMS))

    def __repr__(self) -> str:
        sizes = self.groups["posterior"].sizes
        name, what = type(self.model).__name__, "Prior" if self.method == "prior" else "Posterior"
        by = "" if self.method == "prior" else f" by {self.method}"
        lines = [f"{what} of {name}{by}, {sizes['chain'] * sizes['draw']} draws"]
        lines += [self.how] if self.how else []
        if sum(self.seconds):
            lines.append(f"First chunk with compilation {self.seconds[0]:.1f} s, the rest {self.seconds[1]:.1f} s.")
        if self.dropped:
            lines.append(f"Saved with draws='globals': without {', '.join(f'`{n}`' for n in self.dropped)}.")
        return "\n".join([*lines, str(self.diagnosis)])


def load(path: str | os.PathLike) -> Posterior:
    """Open a posterior that `Posterior.save` wrote."""
    return Posterior.load(path)
