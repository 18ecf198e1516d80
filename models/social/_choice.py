"""The arithmetic of noisy comparisons: worth of one option over the other, its chance, and choices drawn anew."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._check import require
from .._compiled import compiled
from .data import SocialChoiceData

WASTE, LARGE = 8, 10**7  # padded cells for each choice, and cells, beyond both of which unequal panels are refused


class Panel(NamedTuple):
    """Comparisons by person, the option taken less the other, in units of the data's scale.

    Attributes:
        own: `[people, times]`. `feature`: `[terms, people, times]`. `there`: `[people, times]`, False where padded.
    """

    own: Any
    feature: Any
    there: Any


def differences(data: SocialChoiceData, features: Any, scale: float, *, taken: bool) -> tuple[Any, Any]:
    """Option taken less the other, or first less second: `own [situations]` and `feature [terms, situations]`.

    Args:
        data: the comparisons. `features`: `[terms, situations, 2]`. `scale`: what both are divided by.
        taken: which orientation.
    """
    sign = np.where(data.chosen == 0, 1.0, -1.0) if taken else np.ones(data.num_situations)
    return sign * (data.own[:, 0] - data.own[:, 1]) / scale, sign * (features[..., 0] - features[..., 1]) / scale


def panel(data: SocialChoiceData, own: np.ndarray, feature: np.ndarray) -> Panel:
    """The same by person, padded to the longest panel."""
    people, times = len(data.people), int(np.bincount(data.person).max())
    cells = people * times
    require(
        cells <= max(LARGE, WASTE * data.num_situations),
        f"{data.source}: one person has {times} choices, and {data.num_situations} are of {people} people: fit those who chose "
        "that often by themselves.",
    )
    at = cell(data)
    out = Panel(np.zeros((people, times)), np.zeros((len(feature), people, times)), np.zeros((people, times), bool))
    out.own.flat[at] = own
    out.feature.reshape(len(feature), -1)[:, at] = feature
    out.there.flat[at] = True
    return out


def cell(data: SocialChoiceData) -> np.ndarray:
    """`[situations]`, where each choice stands in a `Panel`, flat."""
    order = np.argsort(data.person, kind="stable")
    count = np.bincount(data.person, minlength=len(data.people))
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    return data.person * int(count.max()) + rank


def worth(own: Any, feature: Any, weight: Array, log_precision: Array) -> Array:
    """Precision times difference in utility; `weight` `[terms, ...]` and `log_precision` fit `own` as they are."""
    total = own
    for w, x in zip(weight, feature, strict=True):  # a sum written out: two or four terms, and no copy of them
        total = total + w * x
    return jnp.exp(log_precision) * total


def log_chance(worth: Array, lapse: Any) -> Array:
    r"""Log of :math:`(1 - w)\,\text{logistic}(\text{worth}) + w/2`; `lapse` None is w = 0."""
    plain = jax.nn.log_sigmoid(worth)
    if lapse is None:
        return plain
    lapse = jnp.asarray(lapse, plain.dtype)
    return jnp.logaddexp(jnp.log1p(-lapse) + plain, jnp.log(lapse / 2))


def drawn_again(own: Any, feature: Any, chance: Array, *, key: PRNGKeyArray) -> tuple[Array, Array]:
    """`own` and `feature` turned round where the other option is taken; `chance` is that of the option they stand for."""
    sign = jnp.where(jax.random.uniform(key, chance.shape, chance.dtype) < chance, 1.0, -1.0).astype(chance.dtype)
    return own * sign, feature * sign[None]


@compiled
def log_chances(
    own: Any, feature: Any, weight: Any, log_precision: Any, lapse: Any, who: Any
) -> Float[Array, "draws situations"]:
    """Log-chance of each comparison going the way it stands, one draw after another.

    Args:
        own: `[situations]`. `feature`: `[terms, situations]`.
        weight: `[draws, terms]`, or `[draws, people, terms]`. `log_precision`: `[draws]`, or `[draws, people]`.
        lapse: `[draws]`, or None. `who`: `[situations]`, whose; None where people are alike.
    """

    def one(given):
        w, p, lapse = given
        if who is not None:
            w, p = w[who].T, p[who]
        return log_chance(worth(jnp.asarray(own, w.dtype), jnp.asarray(feature, w.dtype), w, p), lapse)

    return jax.lax.map(one, (weight, log_precision, lapse))
