"""The one place that knows which ArviZ is installed: 0.x has InferenceData, 1.x a DataTree."""

import warnings
from typing import Any

import numpy as np
import xarray as xr


def import_arviz() -> Any:
    """ArviZ, without its daily notice about the coming refactor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz

    return arviz


def inference_data(groups: dict[str, xr.Dataset]) -> Any:
    """`InferenceData` under ArviZ 0.x, a `DataTree` of the same groups under 1.x."""
    arviz = import_arviz()
    if hasattr(arviz, "InferenceData"):
        return arviz.InferenceData(**groups)
    return xr.DataTree.from_dict(groups)


def convergence(draws: np.ndarray) -> dict[str, float]:
    """R-hat (rank-normalised split), bulk and tail effective sample size of one scalar, draws `[chains, draws]`."""
    arviz = import_arviz()
    if hasattr(arviz, "InferenceData"):
        measure = lambda f, **kw: float(f(np.asarray(draws, float), **kw))
        return {
            "r_hat": measure(arviz.rhat) if draws.shape[0] > 1 else float("nan"),
            "ess_bulk": measure(arviz.ess, method="bulk"),
            "ess_tail": measure(arviz.ess, method="tail"),
        }
    stats = arviz.array_stats
    return {
        "r_hat": float(stats.rhat(draws)) if draws.shape[0] > 1 else float("nan"),
        "ess_bulk": float(stats.ess(draws, method="bulk")),
        "ess_tail": float(stats.ess(draws, method="tail")),
    }
