"""Which model predicts better: leave-one-out scores, named where they cannot be trusted, and several models side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import xarray as xr

from ..models._check import require
from ._arviz import leave_one_out as arviz_loo
from ._arviz import ranked

NAMED = 5


@dataclass(frozen=True)
class LeaveOneOut:
    """Expected log-probability of data not seen, each in turn predicted from the others.

    Attributes:
        elpd: sum over observations, greater is better; `se`: its standard error; `p`: effective number of parameters.
        table: a row an observation (or person), by name: `elpd` and `k_hat`.
        problems: sentences on observations whose k-hat is too large.
        by: `"observation"` or `"person"`. `sha256`: of the data. `found`: for `compare`.
    """

    elpd: float
    se: float
    p: float
    table: pd.DataFrame
    problems: tuple[str, ...]
    by: str
    sha256: str
    found: dict[str, Any] = field(repr=False)

    def __str__(self) -> str:
        line = f"elpd {self.elpd:.1f} ± {self.se:.1f}, {self.p:.1f} effective parameters, by {self.by}"
        return "\n".join([line, *self.problems])


def leave_one_out(posterior: Any, by: str = "observation") -> LeaveOneOut:
    """PSIS-LOO through ArviZ.

    Leave out whole people where they made several choices and the question is how well *others* are predicted. With tastes
    sampled for each person, leaving them out changes those tastes altogether; k-hat then says that weights cannot do it.

    Args:
        posterior: any, but a prior.
        by: `"observation"`, or `"person"`.

    Raises:
        ValueError: `by` is neither, the data do not say who is who, or nothing was learned yet.

    Source: Vehtari, Gelman and Gabry, "Practical Bayesian model evaluation using leave-one-out cross-validation and WAIC"
        (2017).
    """
    require(by in ("observation", "person"), f"`by` must be 'observation' or 'person', got {by!r}.")
    require(
        posterior.method != "prior", "`loo` judges predictions from data, and this is a prior: fit the model first."
    )
    each = posterior.log_likelihood()
    each = each.reshape(*each.shape[:2], -1)
    names = _names(posterior, each.shape[-1])
    if by == "person":
        who, labels = _people(posterior, each.shape[-1])
        seen = np.unique(who)
        own = scipy.sparse.csr_array((np.ones(len(who)), (np.arange(len(who)), np.searchsorted(seen, who))))
        each, names = (each.reshape(-1, len(who)) @ own).reshape(*each.shape[:2], len(seen)), labels[seen]
    draws = ("chain", "draw")
    shape = posterior.groups["posterior"].sizes
    scalars = {f"x{i}": (draws, x.reshape(shape["chain"], -1)) for i, x in enumerate(_varying(posterior))}
    found = arviz_loo(xr.Dataset({"y": ((*draws, "unit"), each)}), xr.Dataset(scalars))
    table = pd.DataFrame({"elpd": found["pointwise"], "k_hat": found["k_hat"]}, index=pd.Index(names, name=by))
    bad = np.flatnonzero(~(found["k_hat"] <= found["good_k"]))
    worst = bad[np.argsort(-np.nan_to_num(found["k_hat"][bad], nan=np.inf))][:NAMED]
    problems = []
    if len(bad):
        some = ", ".join(f"`{names[i]}` ({found['k_hat'][i]:.2f})" for i in worst)
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        problems.append(
            f"k-hat is above {found['good_k']:.2f} for {by} {some}{more}, of {len(names)}: the posterior without them is too "
            "different; look at them, or fit again without them."
        )
    weight = getattr(posterior.data, "weight", None)
    if weight is not None and np.ptp(weight) > 1e-9 * np.max(weight):
        problems.append(
            "Sampling weights are unequal, and these scores count every observation once: compare with care."
        )
    return LeaveOneOut(found["elpd"], found["se"], found["p"], table, tuple(problems), by, posterior.data.sha256, found)


def compare(posteriors: Any, by: str = "observation") -> pd.DataFrame:
    """Models of the same data, best first: `elpd`, its difference to the best with standard error `dse`, and weights.

    A difference of less than about two `dse`, or of less than 4, says that they predict alike.

    Args:
        posteriors: name to posterior, or to what `posterior.loo()` gave.
        by: as in `Posterior.loo`.

    Returns:
        ArviZ's table, with the number of observations whose k-hat is too large as `bad_k`.

    Raises:
        ValueError: fewer than two, or posteriors of different data or of different observations, by name.

    Example:
        >>> import fairhand as fh
        >>> from fairhand.models import choice
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(200, 3, 2))
        >>> taken = (x[..., 0] + rng.gumbel(size=(200, 3))).argmax(1)
        >>> data = choice.ChoiceData(x, taken, ("a", "b", "c"), ("quality", "noise"))
        >>> models = {n: choice.ConditionalLogit((n,), constants=False) for n in ("quality", "noise")}
        >>> fitted = {n: fh.fit(m, data, method="map", draws=100) for n, m in models.items()}
        >>> list(compare(fitted).index)
        ['quality', 'noise']
    """
    require(
        isinstance(posteriors, Mapping) and len(posteriors) >= 2,
        "`posteriors` must be at least two, by name, such as `{'plain': ..., 'mixed': ...}`; got "
        f"{list(posteriors) if isinstance(posteriors, Mapping) else type(posteriors).__name__}.",
    )
    for name, one in posteriors.items():
        require(
            isinstance(one, LeaveOneOut) or hasattr(one, "log_likelihood"),
            f"`posteriors[{name!r}]` must be a posterior, or what its `loo()` gave; got {type(one).__name__}.",
        )
    found = {n: p if isinstance(p, LeaveOneOut) else leave_one_out(p, by) for n, p in posteriors.items()}
    (first, one), *others = found.items()
    for name, other in others:
        require(
            other.sha256 == one.sha256,
            f"`{first}` and `{name}` were fitted to different data ({one.sha256[:8]} and {other.sha256[:8]}): fit both to the "
            "same data, or compare each with others of its own.",
        )
        require(
            len(other.table) == len(one.table) and other.by == one.by,
            f"`{first}` and `{name}` explain different things ({len(one.table)} by {one.by}, {len(other.table)} by "
            f"{other.by}): models compare only on the same observations.",
        )
    table = ranked({name: x.found for name, x in found.items()})
    table["bad_k"] = [int(np.sum(~(found[n].found["k_hat"] <= found[n].found["good_k"]))) for n in table.index]
    return table


def _varying(posterior: Any) -> list[np.ndarray]:
    return [x for x in posterior.scalars.values() if x.std() > 0]


def _names(posterior: Any, size: int) -> np.ndarray:
    """Names of the observations, where the data give as many."""
    data = posterior.data
    if hasattr(data, "situations") and len(data.situations) == size:
        return np.asarray(data.situations).astype(str)
    if hasattr(data, "agents") and hasattr(data, "agent") and len(data.agent) == size:
        return np.array([f"{data.agents[i]}:{data.items[j]}" for i, j in zip(data.agent, data.item, strict=True)])
    for names in ("items", "rankings", "people", "agents"):
        if len(getattr(data, names, ())) == size:
            return np.asarray(getattr(data, names)).astype(str)
    return np.arange(size).astype(str)


def _people(posterior: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    data = posterior.data
    for who, labels in (("person", "people"), ("agent", "agents")):
        if len(getattr(data, who, ())) == size:
            return np.asarray(getattr(data, who)), np.asarray(getattr(data, labels)).astype(str)
    raise ValueError("`by='person'` needs data that say whose each observation is; leave one observation out instead.")
