"""What the theory asks of a law before it speaks: what it cannot judge is refused, what it does not claim is said aloud."""

import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ...models._check import concrete, require
from ...models.laws import AbstractLaw


def count(x: Any, name: str, least: int) -> int:
    """`x` as a whole number of at least `least`.

    Raises:
        ValueError: it is not.
    """
    whole = isinstance(x, int | np.integer) and not isinstance(x, bool)
    require(whole and x >= least, f"`{name}` must be a whole number, at least {least}; got {x!r}.")
    return int(x)


def check_law(law: Any, name: str = "law", atoms: Literal["warn", "fine"] = "warn") -> None:
    """Refuse a law that is constant or negative; warn of one for which limits in the number of items are not claimed.

    Only numbers known now are judged. The paper's theorems are for laws that are not negative, bounded, continuous and
    not constant (section 2).

    Raises:
        ValueError: `law` is no law, is constant, or has negative values.
    """
    require(isinstance(law, AbstractLaw), f"`{name}` must be a law of values, such as Uniform(); got {law!r}.")
    _judge(name, law.support, atoms == "warn" and law.atoms.shape[-1] > 0)


def as_draws(laws: Any, name: str = "laws") -> AbstractLaw:
    """A posterior of laws with the axis `draws` on every leaf, each draw judged as by `check_law`.

    Raises:
        ValueError: no leaf has the axis, two disagree on its size, or a draw is constant or has negative values.
    """
    require(
        isinstance(laws, AbstractLaw), f"`{name}` must be one law whose parameters carry an axis `draws`; got {laws!r}."
    )
    leaves, tree = jax.tree.flatten(laws)
    extra = [np.ndim(leaf) - rank for leaf, rank in zip(leaves, _ranks(laws), strict=True)]
    sizes = {np.shape(leaf)[0] for leaf, more in zip(leaves, extra, strict=True) if more == 1}
    require(
        sizes and max(extra) == 1,
        f"`{name}` has no leading axis `draws`: it is one law. Give its parameters an axis of posterior draws, such as "
        "Beta(a_draws, b_draws); for one known law use `optimal_pick(law, 2)` or `two_agent_ef(law, items)`.",
    )
    require(len(sizes) == 1, f"`{name}` has parameters with different numbers of draws: {sorted(sizes)}.")
    (draws,) = sizes
    require(draws >= 1, f"`{name}` has no draw.")
    spread = lambda leaf, more: (
        jnp.asarray(leaf) if more else jnp.broadcast_to(jnp.asarray(leaf), (draws, *np.shape(leaf)))
    )
    whole = jax.tree.unflatten(tree, [spread(leaf, more) for leaf, more in zip(leaves, extra, strict=True)])
    one = jax.tree.map(lambda leaf: leaf[0], whole)
    _judge(name, jax.vmap(lambda law: law.support)(whole), one.atoms.shape[-1] > 0)
    return whole


def _ranks(law: AbstractLaw) -> Iterator[int]:
    """Rank of every leaf when the law is one law, in the order of its leaves."""
    for field in dataclasses.fields(law):
        value = getattr(law, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, AbstractLaw):
                yield from _ranks(part)
            elif hasattr(part, "shape"):
                yield law._rank


def _judge(name: str, support: tuple[Any, Any], atoms: bool) -> None:
    low, high = (concrete(end) for end in support)
    if low is None or high is None:
        return
    require(np.all(low >= 0), f"`{name}` has values down to {low.min()}; values must not be negative, so shift them.")
    same = low[low >= high]
    require(
        same.size == 0, f"`{name}` is constant, at {same[:1]}: all items are alike, and there is nothing to choose."
    )
    unclaimed = "the paper claims neither this limit for Pick-r nor envy-freeness with high probability."
    if not np.all(np.isfinite(high)):
        warnings.warn(f"`{name}` is unbounded: {unclaimed} Truncate it to be covered.", stacklevel=4)
    if atoms:
        warnings.warn(
            f"`{name}` has atoms: {unclaimed} Smooth it, such as by `PiecewiseLinear`, to be covered.", stacklevel=4
        )
