"""Judging a fit: one table of numbers, and for each problem the parameter, the number and the next thing to try."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ._arviz import convergence
from ._importance import GOOD_K
from ._learned import learned

R_HAT, ESS, E_BFMI, DIVERGENT = 1.01, 400, 0.3, 0.001
DEEPEST, SATURATED = 1023, 0.01  # leapfrog steps of the deepest tree, and the share of draws that may reach it
STUCK, ELSEWHERE = 0.05, 3.0  # least share of draws that move; distance of a chain from the others, in its own sds
NAMED = 3  # parameters named in one sentence; the others are counted
NO_CHAINS = ("laplace", "map", "svi", "prior")  # methods whose draws are independent


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        table: one row a parameter: mean, sd, 5 % and 95 % quantiles; for chains R-hat, bulk and tail ESS and the
            Monte-Carlo error of the mean; where the prior is known, its sd and the contraction from it to the posterior.
        problems: sentences with advice on why the draws are not to be trusted; empty when nothing was found.
        notes: what is no problem but should be known.
        sampler: divergences, least E-BFMI, mean leapfrog steps, share of deepest trees, acceptance, greatest k-hat.
        cautions: sentences with advice on what the data hardly tell: the draws are right, and mostly the prior speaks.
    """

    table: pd.DataFrame
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    sampler: dict[str, float]
    cautions: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [self.table.round(4).to_string()]
        if self.sampler:
            lines.append(", ".join(f"{k.replace('_', ' ')} {v:.3g}" for k, v in self.sampler.items()))
        return "\n".join([*lines, *self.problems, *self.cautions, *self.notes])

    def to_spec(self) -> dict[str, Any]:
        """The whole as JSON can hold it."""
        plain = lambda x: None if np.isnan(x) else x
        return {
            "names": [str(n) for n in self.table.index],
            "columns": {str(c): [plain(x) for x in self.table[c].tolist()] for c in self.table.columns},
            "problems": list(self.problems),
            "cautions": list(self.cautions),
            "notes": list(self.notes),
            "sampler": {k: plain(v) for k, v in self.sampler.items()},
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Diagnosis":
        """What `to_spec` wrote."""
        table = pd.DataFrame({c: np.array(x, float) for c, x in spec["columns"].items()}, index=spec["names"])
        sampler = {k: float("nan") if v is None else v for k, v in spec["sampler"].items()}
        words = {k: tuple(spec[k]) for k in ("problems", "notes", "cautions")}
        return cls(table, sampler=sampler, **words)


def diagnose(
    values: dict[str, np.ndarray],
    sampler: dict[str, np.ndarray],
    how: str,
    target: float,
    notes: tuple[str, ...],
    *,
    k_hat: float | Mapping[str, float] | None = None,
    prior: dict[str, np.ndarray] | None = None,
) -> Diagnosis:
    """Judge draws.

    Args:
        values: `[chains, draws]` by parameter name.
        sampler: statistics of NUTS, `[chains, draws]`; empty for independent draws.
        how: the method; `"laplace"`, `"svi"` and `"prior"` have no chains to judge.
        target: acceptance probability that NUTS was told to reach.
        notes: passed on.
        k_hat: of an approximation by importance weights: one number, or one for each person by name.
        prior: draws of the prior by parameter name; None where it has none, or was not asked.
    """
    chains = how not in NO_CHAINS
    taught = learned(values, prior) if how != "prior" else learned({}, {})
    rows = {}
    for name, x in values.items():
        spread = float(x.std())
        row = {
            "mean": float(x.mean()),
            "sd": spread,
            "5%": float(np.quantile(x, 0.05)),
            "95%": float(np.quantile(x, 0.95)),
        }
        if chains:
            measured = convergence(x) if spread > 0 else {"r_hat": 1.0, "ess_bulk": x.size, "ess_tail": x.size}
            row |= {**measured, "mc_error": spread / np.sqrt(max(measured["ess_bulk"], 1))}
        if taught.prior_sd:
            row |= {"prior_sd": taught.prior_sd.get(name, np.nan), "contraction": taught.contraction.get(name, np.nan)}
        rows[name] = row
    table = pd.DataFrame(rows).T
    problems = [*_disagree(table, values), *_scarce(table, values)] if chains else []
    numbers: dict[str, float] = {}
    if chains:
        problems += _stuck(values)
    if chains and "diverging" in sampler:
        numbers, found = _sampler(sampler, target)
        problems += found
    if k_hat is not None:
        named = dict(k_hat) if isinstance(k_hat, Mapping) else {"": float(k_hat)}
        numbers["k_hat"] = float(np.max(list(named.values()), initial=-np.inf))
        doubts = _approximate(named, how)
        problems += [] if how in FIRST_ANSWERS else doubts
    cautions = taught.cautions if chains or prior is not None else ()
    if k_hat is not None and how in FIRST_ANSWERS:
        cautions = (*cautions, *doubts)
    return Diagnosis(table, tuple(problems), notes, numbers, cautions)


def _named(worst_first: list[str]) -> tuple[list[str], str]:
    """The names to give a sentence of their own, and how many others the last of them stands for."""
    rest = len(worst_first) - NAMED
    return worst_first[:NAMED], f" {rest} more parameters likewise." if rest > 0 else ""


def _disagree(table: pd.DataFrame, values: dict[str, np.ndarray]) -> list[str]:
    r_hat: dict[str, float] = table["r_hat"].to_dict()
    names, rest = _named(sorted((n for n in r_hat if r_hat[n] > R_HAT), key=lambda n: -r_hat[n]))
    found = []
    for name in names:
        x = values[name]
        centre, inside = x.mean(1), np.median(x.std(1)) + 1e-300
        away = np.abs(centre - np.median(centre)) / inside
        where = f" (chain {int(away.argmax()) + 1} sits at {centre[away.argmax()]:.3g}, the others near {np.median(centre):.3g})"
        found.append(
            f"`{name}`: R-hat is {r_hat[name]:.3f} (above {R_HAT}): chains disagree"
            f"{where if away.max() > ELSEWHERE else ''}; double `warmup` and `draws`."
        )
    return [*found[:-1], found[-1] + rest] if found else []


def _scarce(table: pd.DataFrame, values: dict[str, np.ndarray]) -> list[str]:
    least: dict[str, float] = table[["ess_bulk", "ess_tail"]].min(axis=1).to_dict()
    size = max((x.size for x in values.values()), default=0)
    names, rest = _named(sorted((n for n in least if least[n] < min(ESS, size / 2)), key=lambda n: least[n]))
    found = [
        f"`{name}`: only {least[name]:.0f} effective draws of {size} (want {ESS}): raise `draws`, or rescale its column."
        for name in names
    ]
    return [*found[:-1], found[-1] + rest] if found else []


def _stuck(values: dict[str, np.ndarray]) -> list[str]:
    moving = [x for x in values.values() if x.shape[1] > 10 and x.std() > 0]
    if not moving:
        return []
    moves = np.max([np.mean(np.diff(x, axis=1) != 0, axis=1) for x in moving], axis=0)
    return [
        f"Chain {i + 1} is stuck: it moved in {100 * moves[i]:.0f} % of its draws; fit again with another `key`, raise "
        "`warmup`, or start from the mode of a tighter prior."
        for i in np.flatnonzero(moves < STUCK)
    ]


def _sampler(stats: dict[str, np.ndarray], target: float) -> tuple[dict[str, float], list[str]]:
    diverging, energy = stats["diverging"], stats["energy"]
    change = np.mean(np.diff(energy, axis=1) ** 2, axis=1) / np.maximum(energy.var(axis=1), 1e-300)
    deepest = stats["n_steps"] >= DEEPEST
    numbers = {
        "divergences": float(diverging.sum()),
        "e_bfmi": float(change.min()) if energy.shape[1] > 2 else float("nan"),
        "n_steps": float(stats["n_steps"].mean()),
        "deepest_trees": float(deepest.mean()),
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
            f"E-BFMI is {numbers['e_bfmi']:.2f} (below {E_BFMI}, chain {int(change.argmin()) + 1}): the sampler explores "
            "energies badly; reparametrise or tighten heavy-tailed priors."
        )
    if numbers["deepest_trees"] > SATURATED:
        problems.append(
            f"{100 * deepest.mean():.0f} % of trajectories reached the deepest tree ({DEEPEST} steps): directions differ much "
            "in scale; raise `warmup`, rescale columns, or tighten the priors of what is weakly told."
        )
    return numbers, problems


FIRST_ANSWERS = ("laplace", "map")  # nobody takes them for more, so that they are rough is no problem but a caution
ADVICE = {
    "svi": "try `guide='multivariate'`, or use `method='nuts'`",
    "laplace": "the posterior is not normal at its mode; use `method='nuts'`",
    "map": "the posterior is not normal at its mode; use `method='nuts'`",
}


def _approximate(k: Mapping[str, float], how: str) -> list[str]:
    bad = sorted(
        (name for name, value in k.items() if not value <= GOOD_K), key=lambda n: -np.nan_to_num(k[n], nan=1e9)
    )
    if not bad:
        return []
    if "" in k:
        cure = ADVICE.get(how, "use `method='nuts'`")
        return [f"k-hat is {k['']:.2f} (above {GOOD_K}): the approximation misses part of the posterior; {cure}."]
    some = ", ".join(f"`{name}` ({k[name]:.2f})" for name in bad[:NAMED])
    rest = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    return [
        f"k-hat is above {GOOD_K} for {some}{rest}, of {len(k)}: their weights do not correct the approximation; raise the "
        "number of importance draws, or use `method='nuts'`."
    ]
