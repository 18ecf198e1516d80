"""Judging a fit: numbers, and for each problem the parameter, the number and the next thing to try."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ._arviz import convergence

R_HAT, ESS, E_BFMI, DIVERGENT = 1.01, 400, 0.3, 0.001


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        table: one row a parameter: mean, sd, 5 % and 95 % quantiles, and for NUTS R-hat, bulk and tail ESS and the
            Monte-Carlo error of the mean.
        problems: sentences with advice; empty when nothing was found.
        notes: what is no problem but should be known.
        sampler: divergences, least E-BFMI, mean leapfrog steps, acceptance.
    """

    table: pd.DataFrame
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    sampler: dict[str, float]

    def __str__(self) -> str:
        lines = [self.table.round(4).to_string(), *self.problems, *self.notes]
        return "\n".join(lines)


def diagnose(
    values: dict[str, np.ndarray],
    sampler: dict[str, np.ndarray],
    how: str,
    target: float,
    notes: tuple[str, ...],
) -> Diagnosis:
    """Judge draws `[chains, draws]` by parameter name; `sampler` is empty for Laplace draws."""
    rows, problems = {}, []
    for name, x in values.items():
        spread = float(x.std())
        row = {
            "mean": float(x.mean()),
            "sd": spread,
            "5%": float(np.quantile(x, 0.05)),
            "95%": float(np.quantile(x, 0.95)),
        }
        if how == "nuts":
            measured = convergence(x) if spread > 0 else {"r_hat": 1.0, "ess_bulk": x.size, "ess_tail": x.size}
            row |= {**measured, "mc_error": spread / np.sqrt(max(measured["ess_bulk"], 1))}
            if measured["r_hat"] > R_HAT:
                problems.append(
                    f"`{name}`: R-hat is {measured['r_hat']:.3f} (above {R_HAT}): chains disagree; double `warmup` and `draws`."
                )
            least = min(measured["ess_bulk"], measured["ess_tail"])
            if least < min(ESS, x.size / 2):
                problems.append(
                    f"`{name}`: only {least:.0f} effective draws of {x.size} (want {ESS}): raise `draws`, or rescale its column."
                )
        rows[name] = row
    numbers: dict[str, float] = {}
    if how == "nuts" and sampler:
        numbers, found = _sampler(sampler, target)
        problems += found
    return Diagnosis(pd.DataFrame(rows).T, tuple(problems), notes, numbers)


def _sampler(stats: dict[str, np.ndarray], target: float) -> tuple[dict[str, float], list[str]]:
    diverging, energy = stats["diverging"], stats["energy"]
    change = np.mean(np.diff(energy, axis=1) ** 2, axis=1) / np.maximum(energy.var(axis=1), 1e-300)
    numbers = {
        "divergences": float(diverging.sum()),
        "e_bfmi": float(change.min()) if energy.shape[1] > 2 else float("nan"),
        "n_steps": float(stats["n_steps"].mean()),
        "acceptance_rate": float(stats["acceptance_rate"].mean()),
    }
    problems = []
    if diverging.mean() > DIVERGENT:
        problems.append(
            f"{int(diverging.sum())} of {diverging.size} transitions diverged: raise `target_accept` from {target} towards "
            "0.99, or tighten priors."
        )
    if numbers["e_bfmi"] < E_BFMI:
        problems.append(
            f"E-BFMI is {numbers['e_bfmi']:.2f} (below {E_BFMI}): the sampler explores energies badly; reparametrise or "
            "tighten heavy-tailed priors."
        )
    return numbers, problems
