"""What holds for every law with parameters that move: one program a law, then claims about its answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairhand.models import (
    AbstractLaw,
    Exponential,
    PiecewiseLinear,
    Power,
    TruncatedExponential,
    TruncatedLogNormal,
    TruncatedNormal,
    WorstCaseFamily,
)
from helpers import assert_close

pytestmark = pytest.mark.slow  # every law once more

LAWS = [
    Power(2.5),
    PiecewiseLinear([0.0, 0.25, 0.75, 1.0], [0.125, 0.5, 0.625, 2.0]),
    WorstCaseFamily(0.125, 0.25),
    Exponential(2.0),
    TruncatedExponential(3.0, 2.0),
    TruncatedNormal(0.4, 0.3, 0.0, 1.0),
    TruncatedLogNormal(-0.5, 0.5, 0.0, 1.5),
]
NAMED = pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
QUICK = pytest.mark.parametrize(  # the last two take the same road
    "law", [*LAWS[:-1], pytest.param(LAWS[-1], marks=pytest.mark.slow)], ids=lambda law: type(law).__name__
)
U, X = np.array([0.0, 0.1, 0.6, 1.0, -0.1, 1.1, np.nan]), np.array([-np.inf, 0.3, np.inf, np.nan])


@jax.jit
def answers(law: AbstractLaw):
    u, x = (jnp.asarray(v, jax.tree.leaves(law)[0].dtype) for v in (U, X))
    return {
        "quantile": law.quantile(u),
        "tail_integral": law.tail_integral(u),
        "cdf": law.cdf(x),
        "survival": law.survival(x),
        "density": law.density(x),
        "expected_excess": law.expected_excess(x[1:]),
        "mean": law.mean,
        "expected_max": law.expected_max(jnp.array([1, 3])),
        "support": jnp.stack(law.support),
        "is_valid": law.is_valid,
        "is_regular": law.is_regular,
    }


def widened(law):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, "float64"), law)


@NAMED
def test_dtype_follows_parameters_and_arguments(law):
    with jax.enable_x64(True):
        for dtype, kept in (
            ("float32", jax.tree.map(lambda v: jnp.asarray(v, "float32"), law)),
            ("float64", widened(law)),
        ):
            shapes = jax.eval_shape(answers, kept)
            assert all(v.dtype == dtype for k, v in shapes.items() if not k.startswith("is_"))
            assert jax.eval_shape(kept.cdf, np.float64(0.3)).dtype == "float64"
            assert jax.eval_shape(lambda key, kept=kept: kept.sample(key=key), jax.random.key(0)).dtype == dtype


@QUICK
def test_the_answers_of_every_law_fit_together(law):
    with jax.enable_x64(True):
        law = widened(law)
        check(law, answers(law))


def check(law, found):
    assert np.isnan(found["quantile"][4:]).all()
    assert np.isnan(found["tail_integral"][4:]).all()
    assert all(np.isnan(found[name][-1]) for name in ("cdf", "survival", "density", "expected_excess"))
    assert found["cdf"][::2].tolist() == [0, 1]
    assert found["survival"][::2].tolist() == [1, 0]
    assert found["expected_excess"][1] == 0
    assert found["quantile"][jnp.array([0, 3])].tolist() == found["support"].tolist()
    assert found["tail_integral"][3] == 0
    assert_close(found["tail_integral"][0], found["mean"])
    assert_close(found["expected_max"][0], found["mean"], loosen=5)
    assert found["expected_max"][1] > found["mean"]
    assert_close(found["cdf"][1] + found["survival"][1], 1.0)
    assert found["density"][jnp.array([0, 2])].tolist() == [0, 0]
    q, u = found["quantile"], U
    excess = law.expected_excess(q[1:3])
    assert_close(found["tail_integral"][1:3], q[1:3] * (1 - u[1:3]) + excess, loosen=3)  # Rockafellar and Uryasev
    assert [bool(found["is_valid"]), bool(found["is_regular"])] == [law.is_valid, law.is_regular]
    assert (law.is_valid, law.is_regular).count(None) == 0
    assert law.atoms.size == 0


@QUICK
def test_slopes_of_tails_are_quantiles_and_survivals(law):
    """d T/du = −Q(u) and d E(X − x)⁺/dx = −P(X ≥ x), whatever the law, and F, P(X ≥ ·) have slopes ±f."""
    with jax.enable_x64(True):
        law = widened(law)
        u, x = jnp.array([0.05, 0.3, 0.7, 0.95]), jnp.array([0.2, 0.45])
        slopes = jax.jit(jax.vmap(jax.grad(lambda law, u: law.tail_integral(u), 1), (None, 0)))(law, u)
        assert_close(slopes, -law.quantile(u))
        both = lambda law, x: jnp.stack([law.cdf(x), law.survival(x), law.expected_excess(x)])
        slopes = jax.jit(jax.vmap(jax.jacfwd(both, 1), (None, 0)))(law, x)
        assert_close(slopes, jnp.stack([law.density(x), -law.density(x), -law.survival(x)], -1))


@NAMED
def test_a_posterior_of_laws_is_mapped_and_not_mixed_up(law):
    scales = jnp.array([1.0, 0.75])
    first = jax.tree.leaves(law)[0]
    if isinstance(law, PiecewiseLinear):
        posterior = PiecewiseLinear(np.stack([law.levels] * 2), np.stack([law.values, 2 * law.values]))
        each = [law, PiecewiseLinear(law.levels, 2 * law.values)]
    else:
        others = jax.tree.leaves(law)[1:]
        posterior = type(law)(first * scales, *(jnp.stack([jnp.asarray(v)] * 2) for v in others))
        each = [type(law)(first * s, *others) for s in scales]
    mapped = jax.vmap(lambda law: jnp.stack([law.quantile(0.6), law.mean]))(posterior)
    assert_close(mapped, [[law.quantile(0.6), law.mean] for law in each])
    with pytest.raises(ValueError, match=r"batch of laws.*jax\.vmap"):
        posterior.quantile(0.5)
    leaves, structure = jax.tree.flatten(law)
    assert jax.tree.unflatten(structure, leaves).quantile(0.4) == law.quantile(0.4)
