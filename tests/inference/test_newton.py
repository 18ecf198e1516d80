"""Newton's method for many small problems at once: against SciPy, where curvature fails, and side by side."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from fairhand.inference import _newton
from fairhand.inference._newton import derivatives_of, newton


def rosenbrock(z):
    return jnp.sum(100.0 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2)


def himmelblau(z):
    return (z[0] ** 2 + z[1] - 11) ** 2 + (z[0] + z[1] ** 2 - 7) ** 2


def double_well(z):
    """Its Hessian is indefinite around 0."""
    return jnp.sum((z**2 - 1) ** 2) + 0.1 * jnp.sum(z) + 0.3 * z[0] * z[1]


def funnel(z):
    """Minus the log density of ten observations of a normal law, over its mean and the log of its deviation."""
    x = jnp.asarray([0.3, -1.0, 2.2, 0.4, 1.9, -0.2, 0.7, 1.1, -0.5, 3.0], z.dtype)
    return jnp.sum(0.5 * ((x - z[0]) * jnp.exp(-z[1])) ** 2 + z[1]) + 0.05 * jnp.sum(z**2)


def wide(z):
    """More dimensions than are written out entry by entry."""
    matrix = jnp.asarray(np.random.default_rng(0).normal(size=(14, 12)), z.dtype)
    return jax.nn.logsumexp(matrix @ z) + 0.5 * z @ z


CASES = {
    "rosenbrock": (rosenbrock, [-1.2, 1.0, -0.5, 0.8]),
    "himmelblau": (himmelblau, [0.1, -0.2]),
    "double well from its top": (double_well, [0.02, -0.01, 0.03]),
    "normal law from far off": (funnel, [8.0, -2.0]),
    "twelve dimensions": (wide, [1.0] * 12),
}


@pytest.mark.parametrize("name", CASES)
def test_the_minimum_is_scipys(name, dtype):
    value, start = CASES[name]
    found = jax.jit(lambda z: newton(derivatives_of(value), z, steps=100))(jnp.asarray(start, dtype))
    assert found.converged
    assert found.z.dtype == dtype
    precise = dtype == jnp.float64
    with jax.enable_x64(True):
        both = jax.jit(jax.value_and_grad(value))
        reference = scipy.optimize.minimize(
            lambda z: tuple(np.asarray(x) for x in both(jnp.asarray(z))),
            np.asarray(found.z, float),
            jac=True,
            tol=1e-12,
        )
    assert np.allclose(found.z, reference.x, atol=1e-6 if precise else 2e-3)
    assert float(found.value) <= float(value(jnp.asarray(start, dtype)))
    assert np.all(np.linalg.eigvalsh(np.asarray(found.hessian, float)) > 0)


def test_a_start_on_the_top_of_a_hill_leads_down_and_not_to_the_saddle():
    found = newton(derivatives_of(double_well), jnp.zeros(3))
    assert found.converged
    assert np.linalg.eigvalsh(np.asarray(found.hessian)).min() > 0


def test_problems_side_by_side_are_the_problems_one_by_one(dtype):
    rng = np.random.default_rng(1)
    starts = jnp.asarray(rng.normal(scale=[[0.01], [0.5], [2.0], [6.0]], size=(25, 4, 2)).reshape(-1, 2), dtype)
    one = lambda z: newton(derivatives_of(himmelblau), z, steps=100)
    together = jax.jit(jax.vmap(one))(starts)
    native = jax.jit(lambda z: newton(jax.vmap(derivatives_of(himmelblau)), z, steps=100))(starts)
    alone = jax.jit(one)
    each = [alone(z) for z in starts[:20]]
    assert together.converged.all()
    assert native.converged.all()
    assert len(set(np.asarray(together.steps).tolist())) > 3  # they did not all take the same time
    assert np.allclose(
        together.z[:20], np.stack([found.z for found in each]), atol=1e-3 if dtype == jnp.float32 else 1e-9
    )
    assert np.allclose(native.z, together.z, atol=1e-3 if dtype == jnp.float32 else 1e-9)
    assert np.array_equal(native.steps, together.steps)


def test_arguments_may_differ_by_problem_and_what_is_done_stays():
    bowl = lambda z, centre: jnp.sum((z - centre) ** 2)
    centre = jnp.asarray([[0.0, 0.0], [3.0, -2.0]])
    start = jnp.zeros((2, 2))
    found = jax.jit(jax.vmap(lambda z, c: newton(derivatives_of(bowl), z, c)))(start, centre)
    assert np.allclose(found.z, centre, atol=1e-5)
    assert found.steps.tolist() == [0, 1]  # a quadratic takes one Newton step, and a minimum none


def test_what_has_no_minimum_is_not_called_converged():
    slope = derivatives_of(lambda z: jnp.sum(z))
    assert not newton(slope, jnp.zeros(2)).converged
    hole = derivatives_of(lambda z: jnp.log(z[0]) + z[1] ** 2)
    broken = newton(hole, jnp.asarray([-1.0, 1.0]))
    assert not broken.converged
    assert broken.steps == 0
    short = newton(derivatives_of(rosenbrock), jnp.asarray([-1.2, 1.0]), steps=3)
    assert not short.converged
    assert short.steps == 3


def test_a_flat_direction_does_not_stop_the_search():
    flat = derivatives_of(lambda z: (z[0] + z[1] - 1) ** 2)
    found = newton(flat, jnp.zeros(2))
    assert found.converged
    assert abs(float(found.z.sum()) - 1) < 1e-3


def test_it_does_as_its_documentation_shows():
    failed, ran = doctest.testmod(_newton)
    assert ran
    assert not failed
