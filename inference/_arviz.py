"""The one place that knows which ArviZ is installed: 0.x has InferenceData, 1.x a DataTree."""

import warnings
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import logsumexp


def import_arviz() -> Any:
    """ArviZ, without its daily notice about the coming refactor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz

    return arviz


def _array_stats() -> Any:
    """ArviZ 1's functions of plain arrays."""
    from arviz_stats.base import array_stats  # pyright: ignore[reportMissingImports]

    return array_stats


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
    stats = _array_stats()
    return {
        "r_hat": float(stats.rhat(draws)) if draws.shape[0] > 1 else float("nan"),
        "ess_bulk": float(stats.ess(draws, method="bulk")),
        "ess_tail": float(stats.ess(draws, method="tail", prob=(0.05, 0.95))),
    }


def psis(log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pareto-smoothed log weights, whose exponentials sum to 1, and k-hat; `[..., draws]` to `[..., draws]` and `[...]`.

    Source: Vehtari, Simpson, Gelman, Yao and Gabry, "Pareto smoothed importance sampling" (2024).
    """
    arviz = import_arviz()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # k-hat says the same, by name
        if hasattr(arviz, "psislw"):
            smoothed, k = arviz.psislw(np.asarray(log_weights, float))
        else:
            smoothed, k = _array_stats().psislw(np.asarray(log_weights, float))
    smoothed = np.asarray(smoothed)
    return smoothed - logsumexp(smoothed, axis=-1, keepdims=True), np.asarray(k)


def leave_one_out(log_likelihood: xr.Dataset, posterior: xr.Dataset) -> dict[str, Any]:
    """PSIS-LOO of `[chain, draw, observation]`: ArviZ's own result as `"arviz"`, and its numbers under one set of names."""
    arviz = import_arviz()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its warning does not say which observations
        data = inference_data({"log_likelihood": log_likelihood, "posterior": posterior})
        found = arviz.loo(data, pointwise=True)
    one = lambda *names: next(getattr(found, n) for n in names if getattr(found, n, None) is not None)
    return {
        "arviz": found,
        "elpd": float(one("elpd_loo", "elpd")),
        "se": float(one("se")),
        "p": float(one("p_loo", "p")),
        "k_hat": np.asarray(one("pareto_k")).ravel(),
        "pointwise": np.asarray(one("loo_i", "elpd_i")).ravel(),
        "good_k": float(one("good_k")),
    }


def ranked(found: dict[str, Any]) -> Any:
    """ArviZ's table that compares results of `leave_one_out`, best first, with stacking weights."""
    arviz = import_arviz()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = arviz.compare({name: one["arviz"] for name, one in found.items()})
    return table.rename(columns={"elpd_loo": "elpd", "p_loo": "p"})
