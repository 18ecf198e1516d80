"""What `fit` and `Posterior` ask of a model and of its data: any class that has these parts can be fitted."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

Sites = Mapping[str, Any]
Variables = dict[str, tuple[Any, np.ndarray]]


@runtime_checkable
class Model(Protocol):
    """A NumPyro model with names; hashable, so that equal models share compiled programs.

    Attributes:
        data_type: class of the data.
        observation: the variable of the data that `log_densities` explains, and its dimension.
    """

    data_type: Any
    observation: Any

    def numpyro_model(self, *args: Any) -> None:
        """The model; `args` are `arguments(data)`, so that data of one shape share one program."""
        ...

    def arguments(self, data: Any) -> tuple[Any, ...]:
        """Arrays that `numpyro_model` takes."""
        ...

    def start(self, data: Any) -> dict[str, np.ndarray]:
        """Where the search for the mode begins, in the unconstrained space, for each site that is sampled."""
        ...

    def identify(self, data: Any) -> tuple[str, ...]:
        """Notes on what the data can tell; a `ValueError` where they cannot."""
        ...

    def scalars(self, sites: Sites, data: Any) -> dict[str, Any]:
        """The numbers to judge and report, by name, out of `sites [..., *site]`."""
        ...

    def log_densities(self, sites: Sites, data: Any) -> Any:
        """Log-probability of each observation, `[draws, *observations]`, for `sites [draws, *site]`."""
        ...

    def worlds(self, sites: Sites, data: Any, **where: Any) -> Any:
        """`Draws` of who comes, one world for each draw of `sites [draws, *site]`."""
        ...

    def coords(self, data: Any) -> dict[str, list]:
        """Coordinates of the sites' dimensions, for ArviZ."""
        ...

    def dims(self) -> dict[str, list[str]]:
        """Dimensions of the sites, for ArviZ."""
        ...

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values, `"model"` its class, whose `from_spec` reads it."""
        ...


class Data(Protocol):
    """What was observed, and how it is kept in a file; the class has `from_saved(observed, constant, facts)`."""

    sha256: str

    def observed(self) -> Variables:
        """What the model explains: name to dimensions and array."""
        ...

    def constant(self) -> Variables:
        """What it takes as given."""
        ...

    def facts(self) -> dict[str, Any]:
        """The rest, as JSON can hold it."""
        ...
