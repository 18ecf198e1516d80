"""What is kept of a posterior: one NetCDF file whose head is one JSON specification, or a JSON summary without draws."""

import importlib
import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from ..models._check import require
from .diagnosis import Diagnosis

ENGINE = "h5netcdf"
PEOPLE = ("person", "people", "agent")  # dimensions that stand for people
OWN = ("raw", "taste")  # sites that do, whatever their dimensions are called
Keep = Literal["all", "globals"]


def people_sites(group: xr.Dataset) -> tuple[str, ...]:
    """Names of the sites that have an entry for each person."""
    return tuple(str(n) for n, x in group.data_vars.items() if n in OWN or any(d in PEOPLE for d in x.dims))


def write(posterior: Any, path: Path, draws: Keep) -> None:
    """Write groups and facts, whole or not at all.

    Raises:
        ValueError: `draws` is unknown, or the model has no site that all share.
    """
    require(draws in ("all", "globals"), f"`draws` must be 'all' or 'globals', got {draws!r}.")
    groups, dropped = dict(posterior.groups), posterior.dropped
    if draws == "globals":
        own = people_sites(groups["posterior"])
        require(
            len(own) < len(groups["posterior"].data_vars),
            f"`draws='globals'` would keep nothing: each site of `{type(posterior.model).__name__}` has an entry for each "
            "person; save with `draws='all'`.",
        )
        dropped = tuple(dict.fromkeys((*dropped, *own)))
        groups = {name: g for name, g in groups.items() if name not in ("posterior_predictive", "log_likelihood")}
        kept = groups["posterior"].drop_vars(own)
        groups["posterior"] = kept.drop_vars([c for c in kept.coords if not any(c in x.dims for x in kept.values())])
    facts = {
        "model": posterior.model.to_spec(),
        "method": posterior.method,
        "how": posterior.how,
        "precision": posterior.precision,
        "mode": posterior.mode,
        "seconds": posterior.seconds,
        "diagnosis": posterior.diagnosis.to_spec(),
        "dropped": dropped,
        "groups": list(groups),
        **posterior.data.facts(),
    }
    partial = path.with_suffix(".partial")
    xr.Dataset(attrs={"fairhand": json.dumps(facts)}).to_netcdf(partial, mode="w", engine=ENGINE)
    for name, group in groups.items():
        group.to_netcdf(partial, mode="a", group=name, engine=ENGINE, invalid_netcdf=False)
    os.replace(partial, path)


def read(path: Path, rooms: tuple[str, ...]) -> dict[str, Any]:
    """Model, data, groups, diagnosis and facts, as `Posterior` takes them.

    Raises:
        ValueError: the file is not there, or not one that `write` wrote.
    """
    require(path.exists(), f"`path` {path} does not exist.")
    require(
        path.suffix != ".json",
        f"`path` {path} is a summary, which has no draws: load the NetCDF file, or read the summary as JSON.",
    )
    try:
        xr.open_dataset(path, engine=ENGINE).close()
    except OSError as error:
        raise ValueError(f"`path` {path} is not a posterior saved by fairhand: it is no NetCDF file.") from error
    with xr.open_dataset(path, engine=ENGINE) as head:
        require("fairhand" in head.attrs, f"`path` {path} is not a posterior saved by fairhand.")
        facts = json.loads(head.attrs["fairhand"])
    require("diagnosis" in facts, f"`path` {path} was written by an earlier version of fairhand: fit again.")
    groups = {}
    for name in facts["groups"]:
        with xr.open_dataset(path, group=name, engine=ENGINE) as group:
            groups[name] = group.load()
    kind = model_named(facts["model"]["model"], rooms)
    plain = lambda name: {str(k): x.values for k, x in groups[name].data_vars.items()}
    return {
        "model": kind.from_spec(facts["model"]),
        "data": kind.data_type.from_saved(plain("observed_data"), plain("constant_data"), facts),
        "groups": groups,
        "diagnosis": Diagnosis.from_spec(facts["diagnosis"]),
        **{k: facts[k] for k in ("method", "how", "precision", "mode", "seconds", "dropped")},
    }


def model_named(name: str, rooms: tuple[str, ...]) -> Any:
    """The class of a model, looked up in the rooms of `models` only: a file may not name anything else."""
    for room in rooms:
        found = getattr(importlib.import_module(f"..models.{room}", __package__), name, None)
        if found is not None and hasattr(found, "from_spec"):
            return found
    raise ValueError(f"the file holds a posterior of `{name}`, which this version of fairhand does not have.")


def summary(posterior: Any) -> dict[str, Any]:
    """What a reader needs and no draws: model, origin of the data, diagnosis, and correlations of up to 100 numbers."""
    from importlib.metadata import version

    sizes = posterior.groups["posterior"].sizes
    found = {
        "model": posterior.model.to_spec(),
        "data": {k: v for k, v in posterior.data.facts().items() if k in ("source", "sha256")},
        "method": posterior.method,
        "how": posterior.how,
        "precision": posterior.precision,
        "chains": sizes["chain"],
        "draws": sizes["draw"],
        "seconds": list(posterior.seconds),
        "mode": posterior.mode,
        "diagnosis": posterior.diagnosis.to_spec(),
        "fairhand": version("fairhand"),
    }
    values = {} if posterior.dropped else {n: x for n, x in posterior.scalars.items() if x.std() > 0}
    if 2 <= len(values) <= 100:
        table = np.corrcoef(np.stack(list(values.values()))).round(4).tolist()
        found["correlations"] = {"names": list(values), "table": table}
    return found


def write_summary(posterior: Any, path: Path) -> None:
    """`summary` as a JSON file."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(summary(posterior), indent=1))
    os.replace(partial, path)
