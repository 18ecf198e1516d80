"""Reading a problem: everything as float64 NumPy of one shape, or a refusal that names the argument."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

from ...models._check import require

DISPOSALS = ("forbidden", "free")
#: What rounding may do to sums such as n b_j >= 1, or alpha_i + beta_i + alpha_k + beta_k >= 0, relative to their terms.
ROUNDING = 1e-12


#: Shares `[agents, items]` and sigma `[agents]` of a solver, float64 NumPy, not yet judged.
Answer = tuple[np.ndarray, np.ndarray]


class Problem(NamedTuple):
    """One or many problems that share items, caps and counts, checked: float64 NumPy, leading axes broadcast."""

    values: np.ndarray  # [..., agents, items]
    alpha: np.ndarray  # [..., agents]
    beta: np.ndarray  # [..., agents]
    caps: np.ndarray  # [items]
    disposal: str = "forbidden"
    counts: np.ndarray | None = None  # [agents], whole numbers: how many agents a row stands for

    @property
    def batch(self) -> tuple[int, ...]:
        """The leading axes."""
        return self.values.shape[:-2]

    def each(self) -> "Iterator[Problem]":
        """The problems one by one, in the order of the leading axes."""
        for at in np.ndindex(self.batch):
            yield self._replace(values=self.values[at], alpha=self.alpha[at], beta=self.beta[at])


def traced(*arguments: Any) -> bool:
    """Whether any number is known to a running program only: then formulas are JAX's, in the dtype that came."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(arguments))


def numbers(x: Any, name: str, *, nan: bool = False) -> np.ndarray:
    """`x` as float64 NumPy; finite, unless `nan` allows gaps."""
    require(
        not traced(x),
        f"`{name}` is traced by a JAX transform, but this works on the host, on numbers; inside a program use "
        "`optimal_welfare`, or call it before the transform.",
    )
    try:
        array = np.asarray(x)
        array = np.asarray(array, np.float64) if array.dtype.kind in "fiub" or array.dtype.name == "bfloat16" else None
    except (TypeError, ValueError):
        array = None
    if array is None:
        raise ValueError(f"`{name}` must be an array or list of real numbers, of one shape; got {_brief(x)}.")
    bad = np.isinf(array) if nan else ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"`{name}` must be finite; entry {where} is {array[where]}.")
    return array


def check_problem(
    values: Any, alpha: Any, beta: Any, caps: Any = 1.0, disposal: Any = "forbidden", counts: Any = None
) -> Problem:
    """Everything that a solver takes, checked and broadcast; that the program is concave, too."""
    values = check_values(values)
    agents, items = values.shape[-2:]
    alpha, beta = check_social(alpha, "alpha", agents), check_social(beta, "beta", agents)
    batch = common_batch(("values", values.shape[:-2]), ("alpha", alpha.shape[:-1]), ("beta", beta.shape[:-1]))
    require(0 not in batch, f"`values` must have at least one problem along each leading axis; got {batch}.")
    disposal, counts = check_disposal(disposal), check_counts(counts, agents)
    caps = check_caps(caps, items)
    check_room(caps, disposal, agents if counts is None else int(counts.sum()))
    check_concave(alpha, beta, counts)
    return Problem(
        np.broadcast_to(values, (*batch, agents, items)),
        np.broadcast_to(alpha, (*batch, agents)),
        np.broadcast_to(beta, (*batch, agents)),
        caps,
        disposal,
        counts,
    )


def check_values(values: Any) -> np.ndarray:
    """`[..., agents, items]`, finite, not negative, at least one agent and one item."""
    values = numbers(values, "values")
    require(
        values.ndim >= 2 and values.shape[-2] >= 1 and values.shape[-1] >= 1,
        f"`values` must be [..., agents, items], with at least one of each; got shape {values.shape}.",
    )
    if (values < 0).any():
        where = tuple(int(i) for i in np.argwhere(values < 0)[0])
        raise ValueError(f"`values` must not be negative; entry {where} is {values[where]}. Shift or set it to 0.")
    return values


def check_social(weights: Any, name: str, agents: int, *, nan: bool = False) -> np.ndarray:
    """`alpha` or `beta` as `[..., agents]`; a scalar is for everybody."""
    weights = numbers(weights, name, nan=nan)
    if weights.ndim == 0:
        weights = weights[None]
        return np.broadcast_to(weights, (agents,))
    require(
        weights.shape[-1] == agents,
        f"`{name}` must be a number or have one entry an agent: there are {agents}, `{name}` has shape {weights.shape}.",
    )
    return weights


def common_batch(*named: tuple[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The leading axes that several arguments broadcast to."""
    try:
        return np.broadcast_shapes(*(shape for _, shape in named))
    except ValueError:
        told = ", ".join(f"`{name}` has {shape}" for name, shape in named)
        raise ValueError(f"leading axes must agree or be 1: {told}.") from None


def check_disposal(disposal: Any) -> str:
    """What may be thrown away: nothing ("forbidden") or anything ("free")."""
    require(
        isinstance(disposal, str) and disposal in DISPOSALS,
        f"`disposal` must be 'forbidden' or 'free'; got {disposal!r}.",
    )
    return disposal


def check_caps(caps: Any, items: int) -> np.ndarray:
    """One agent's largest share of each item, `[items]` in (0, 1]."""
    caps = numbers(caps, "caps")
    require(
        caps.shape in ((), (1,), (items,)),
        f"`caps` must be a number or have one entry an item: there are {items}, `caps` has shape {caps.shape}.",
    )
    caps = np.broadcast_to(caps, (items,))
    if ((caps <= 0) | (caps > 1)).any():
        j = int(np.argmax((caps <= 0) | (caps > 1)))
        raise ValueError(f"`caps` must be in (0, 1]; that of item {j} is {caps[j]}.")
    return caps


def check_room(caps: np.ndarray, disposal: str, agents: int) -> None:
    """That everything can be given away where it must be: n b_j >= 1."""
    short = agents * caps < 1 - ROUNDING
    if disposal == "forbidden" and short.any():
        j = int(np.argmax(short))
        raise ValueError(
            f"`caps` leave no way to give all away: {agents} agents with at most {caps[j]:.6g} of item {j} each take "
            f"{agents * caps[j]:.6g} of it. Raise it to at least {1 / agents:.6g}, or pass disposal='free'."
        )


def check_counts(counts: Any, agents: int) -> np.ndarray | None:
    """How many identical agents each row stands for, `[agents]`, whole and at least 1."""
    if counts is None:
        return None
    counts = numbers(counts, "counts")
    require(
        counts.shape == (agents,),
        f"`counts` must have one entry a row of `values`: there are {agents}, `counts` has shape {counts.shape}.",
    )
    if (bad := (counts < 1) | (counts != np.round(counts))).any():
        k = int(np.argmax(bad))
        raise ValueError(f"`counts` must be whole numbers, at least 1; entry {k} is {counts[k]:g}.")
    return counts.astype(np.int64)


def check_concave(alpha: np.ndarray, beta: np.ndarray, counts: np.ndarray | None = None) -> None:
    """Refuse a welfare that is not concave, with the pairs that make it so."""
    total, scale = alpha + beta, np.abs(alpha) + np.abs(beta)
    total, scale = np.broadcast_arrays(total, scale)
    if total.min(initial=0.0) >= 0:
        return
    for at in np.ndindex(total.shape[:-1]):
        pairs = nonconcave_pairs(total[at], scale[at], counts)
        if pairs:
            told = ", ".join(f"({i}, {k})" for i, k in pairs[:8]) + (", …" if len(pairs) > 8 else "")
            where = f" in problem {at}" if at else ""
            raise ValueError(
                f"`alpha` and `beta` make welfare nonconcave{where}: alpha_i + beta_i + alpha_k + beta_k < 0 for the "
                f"agents (i, k) = {told}. Raise one of the four, or leave these agents' answers out."
            )


def nonconcave_pairs(
    total: np.ndarray, scale: np.ndarray, counts: np.ndarray | None = None, most: int = 9
) -> list[tuple[int, int]]:
    """Pairs i <= k of alpha + beta whose sum is negative beyond rounding, `most` of them; (i, i) is a row with itself."""
    order = np.argsort(total, kind="stable")
    found: list[tuple[int, int]] = []
    for rank, i in enumerate(order):
        if total[i] >= 0 or len(found) >= most:
            break
        mates = order[rank if counts is not None and counts[i] > 1 else rank + 1 :][: most + 1]
        bad = total[i] + total[mates] < -ROUNDING * (scale[i] + scale[mates])
        found += [(int(min(i, k)), int(max(i, k))) for k in mates[bad]]
    return sorted(found)[:most]


def check_tolerance(tol: Any, max_steps: Any = 1) -> tuple[float, int]:
    """A positive relative gap, and a positive whole number of steps."""
    tol = numbers(tol, "tol")
    require(tol.shape == () and tol > 0, f"`tol` must be a positive number, a relative gap; got {tol}.")
    steps = numbers(max_steps, "max_steps")
    require(
        steps.shape == () and steps >= 1 and steps == np.round(steps),
        f"`max_steps` must be a whole number, at least 1; got {max_steps!r}.",
    )
    return float(tol), int(steps)


def _brief(x: Any) -> str:
    told = repr(x)
    return told if len(told) < 60 else f"a {type(x).__name__}"
