"""The best welfare and its slopes, against central differences and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairhand.mechanisms.participatory import supergradient
from fairhand.mechanisms.participatory._check import Problem
from fairhand.mechanisms.participatory.measures import welfare
from fairhand.mechanisms.participatory.solvers.lp import solve_lp
from fairhand.mechanisms.participatory.solvers.optimal_welfare import cap_slopes, optimal_welfare

ALL = (0, 1, 2, 3)


def best(values, alpha, beta, caps, disposal="forbidden"):
    """W* by the referee alone."""
    shares, _ = solve_lp(Problem(values, alpha, beta, caps, disposal))
    return float(welfare((values * shares).sum(1), alpha, beta))


def difference(function, arguments, at, step=1e-5):
    """Central differences in one argument, and forward and backward ones apart: they agree away from kinks."""
    base = [np.asarray(x, float) for x in arguments]
    up, down = np.zeros(base[at].shape), np.zeros(base[at].shape)
    middle = function(*base)
    for where in np.ndindex(up.shape):
        moved = np.zeros(up.shape)
        moved[where] = step
        up[where] = (function(*base[:at], base[at] + moved, *base[at + 1 :]) - middle) / step
        down[where] = (middle - function(*base[:at], base[at] - moved, *base[at + 1 :])) / step
    return up, down


def slopes(values, alpha, beta, caps, disposal="forbidden"):
    with jax.enable_x64(True):
        arguments = [jnp.asarray(x) for x in (values, alpha, beta, caps)]
        function = lambda a, alpha, beta, b: optimal_welfare(a, alpha, beta, caps=b, disposal=disposal)
        return [np.asarray(g) for g in jax.grad(function, ALL)(*arguments)]


def draw(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 6), rng.integers(1, 5)
    alpha, beta = rng.uniform(-0.1, 0.9, n), rng.uniform(0.1, 0.6, n)
    caps = rng.uniform(1 / n + 0.02, 0.95, m)
    return 0.1 + rng.random((n, m)), alpha, beta, caps, ("forbidden", "free")[seed % 2]


@pytest.mark.parametrize("seed", range(6))
def test_slopes_are_central_differences_away_from_kinks(seed):
    values, alpha, beta, caps, disposal = draw(seed)
    arguments = (values, alpha, beta, caps)
    found = slopes(*arguments, disposal)
    smooth = 0
    for at, slope in enumerate(found):
        up, down = difference(lambda *x: best(*x, disposal), arguments, at)
        away = np.abs(up - down) < 1e-3
        smooth += away.sum()
        np.testing.assert_allclose(slope[away], ((up + down) / 2)[away], atol=2e-4)
        # At a kink the slope lies between the two sides.
        low, high = np.minimum(up, down) - 1e-6, np.maximum(up, down) + 1e-6
        assert np.all((slope >= low - 2e-4) & (slope <= high + 2e-4))
    assert smooth > 0.8 * sum(x.size for x in arguments)


def test_slopes_are_right_where_all_are_equal_and_those_of_an_order_are_wrong():
    values = np.array([[1.0, 0.9, 0.3], [0.8, 0.95, 0.2], [0.9, 0.7, 0.4]])
    alpha, beta, caps = np.full(3, 0.6), np.full(3, 0.4), np.ones(3)
    shares, sigma = solve_lp(Problem(values, alpha, beta, caps))
    u = (values * shares).sum(1)
    assert np.ptp(u) < 1e-12  # one group of three
    found = slopes(values, alpha, beta, caps)[0]
    up, down = difference(lambda *x: best(*x), (values, alpha, beta, caps), 0)
    np.testing.assert_allclose(found, (up + down) / 2, atol=1e-4)
    vertex = (1 + supergradient(u, alpha, beta))[:, None] * shares
    assert np.abs(vertex - found).max() > 0.1
    np.testing.assert_allclose(found, (1 + sigma)[:, None] * shares, atol=1e-9)


def test_closed_form_of_one_item_for_two():
    """Equal utilities u = a b / (a + b) each, so W* = 2 a b / (a + b), whatever the weights beyond the threshold."""
    a, b = 1.0, 0.8
    value, found = 2 * a * b / (a + b), slopes([[a], [b]], [0.3, 0.3], [0.2, 0.2], [1.0])
    assert optimal_welfare([[a], [b]], 0.3, 0.2) == pytest.approx(value, abs=1e-12)
    np.testing.assert_allclose(found[0].ravel(), [2 * b**2 / (a + b) ** 2, 2 * a**2 / (a + b) ** 2], atol=1e-9)
    np.testing.assert_allclose(found[1], 0, atol=1e-9)
    np.testing.assert_allclose(found[2], 0, atol=1e-9)
    # Below the threshold A < (a - b) / (a + b) the richer keeps all: W = a (1 - A).
    found = slopes([[1.0], [0.3]], [0.1, 0.2], [0.05, 0.1], [1.0])
    np.testing.assert_allclose(found[0].ravel(), [1 - 0.25, 0.0], atol=1e-9)
    np.testing.assert_allclose(found[1], [0.0, -1.0], atol=1e-9)
    np.testing.assert_allclose(found[2], [-1.0, 0.0], atol=1e-9)


def test_caps_of_a_whole_number_of_agents_have_the_slope_of_tightening():
    values, none = np.array([[5.0], [4.0], [2.0], [1.0]]), np.zeros(4)
    for cap, slope in ((1.0, 1.0), (0.5, 5 + 4 - 2 * 2), (0.4, 5 + 4 - 2 * 2), (1 / 3, 5 + 4 + 2 - 3.0)):
        np.testing.assert_allclose(cap_slopes(none, values, np.array([cap]), "forbidden"), slope)
        down = (best(values, none, none, np.array([cap])) - best(values, none, none, np.array([cap - 1e-6]))) / 1e-6
        assert down == pytest.approx(slope, abs=1e-4)
    # Everybody is at the cap: it cannot be tightened, and loosening takes from the last.
    np.testing.assert_allclose(cap_slopes(none, values, np.array([0.25]), "forbidden"), 5 + 4 + 2 - 3.0)
    np.testing.assert_allclose(cap_slopes(none, values, np.array([0.2]), "free"), 12.0)


@pytest.fixture(scope="module")
def compiled():
    function = lambda a, alpha, beta, b: optimal_welfare(a, alpha, beta, caps=b)
    return jax.jit(jax.value_and_grad(function, ALL))


def test_jit_vmap_and_loops_agree_in_both_precisions(dtype, compiled):
    rng = np.random.default_rng(3)
    values, alpha, beta = 0.1 + rng.random((3, 4, 3)), rng.uniform(0, 0.6, (3, 4)), rng.uniform(0, 0.4, (3, 4))
    caps = np.array([1.0, 0.6, 0.45])
    arguments = [jnp.asarray(x, dtype) for x in (values, alpha, beta)]
    b = jnp.asarray(caps, dtype)
    tol = 1e-9 if dtype == jnp.float64 else 2e-6
    worth, found = jax.jit(jax.vmap(compiled, (0, 0, 0, None)))(*arguments, b)
    assert worth.dtype == dtype
    assert all(g.dtype == dtype for g in found)
    for s in range(3):
        one = [x[s] for x in arguments]
        np.testing.assert_allclose(worth[s], best(*map(np.asarray, one), np.asarray(b)), atol=10 * tol)
        for x, y in zip(found, slopes(*map(np.asarray, one), np.asarray(b)), strict=True):
            np.testing.assert_allclose(x[s], y, atol=1e3 * tol if dtype == jnp.float32 else tol)
    # Leading axes do the same as `vmap`, and scalars stand for everybody.
    summed = jax.grad(lambda a: optimal_welfare(a, alpha, beta, caps=caps).sum())(arguments[0])
    np.testing.assert_allclose(summed, found[0], atol=1e3 * tol)
    strength = jax.grad(lambda s: optimal_welfare(values[0], s, s, caps=caps))(jnp.asarray(0.02, dtype))
    each = slopes(values[0], np.full(4, 0.02), np.full(4, 0.02), caps)
    assert strength < -0.1
    np.testing.assert_allclose(strength, each[1].sum() + each[2].sum(), rtol=1e-4)


def test_forward_mode_is_the_same_slope():
    values, alpha, beta, caps, _ = draw(4)
    found = slopes(values, alpha, beta, caps)
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        tangents = [jnp.asarray(rng.normal(size=np.shape(x))) for x in (values, alpha, beta, caps)]
        function = lambda a, alpha, beta, b: optimal_welfare(a, alpha, beta, caps=b)
        worth, slope = jax.jvp(function, [jnp.asarray(x) for x in (values, alpha, beta, caps)], tangents)
        tangents = [np.asarray(t) for t in tangents]
    assert worth == pytest.approx(best(values, alpha, beta, caps), abs=1e-9)
    assert slope == pytest.approx(sum(np.sum(g * t) for g, t in zip(found, tangents, strict=True)), abs=1e-9)


def test_second_derivatives_are_refused_not_zero():
    values = jnp.array([[1.0], [0.8]])
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        jax.hessian(lambda a: optimal_welfare(a, 0.3, 0.2))(values)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        jax.grad(lambda a: jax.grad(lambda a: optimal_welfare(a, 0.3, 0.2))(a)[0, 0])(values)


def test_numbers_batches_and_dtypes():
    values = np.random.default_rng(1).random((2, 3, 4, 2))
    found = np.asarray(optimal_welfare(values, 0.3, [0.1, 0.2, 0.0, 0.3], caps=0.5, disposal="free"))
    assert found.shape == (2, 3)
    assert found.dtype == np.float64
    one = best(values[1, 2], np.full(4, 0.3), np.array([0.1, 0.2, 0.0, 0.3]), np.full(2, 0.5), "free")
    assert found[1, 2] == pytest.approx(one, abs=1e-12)
    assert optimal_welfare([[3, 1], [2, 2]], 0, 0) == 5.0
    assert optimal_welfare(jnp.ones((1, 2), jnp.float16), 0.5, 0.5) == 2.0


def test_bad_input_is_refused_by_name_and_is_nan_inside_a_program():
    a = np.ones((3, 2))
    for match, arguments, more in [
        ("`values`", (-a, 0.1, 0.1), {}),
        ("`alpha`", (a, [0.1, 0.2], 0.1), {}),
        ("`beta`", (a, 0.1, np.nan), {}),
        ("nonconcave", (a, -0.3, 0.1), {}),
        ("`caps`", (a, 0.1, 0.1), {"caps": 0.2}),
        ("`caps`", (a, 0.1, 0.1), {"caps": [1.0, 1.0, 1.0]}),
        ("`disposal`", (a, 0.1, 0.1), {"disposal": "none"}),
    ]:
        with pytest.raises(ValueError, match=match):
            optimal_welfare(*arguments, **more)
    inside = jax.jit(lambda a, alpha, b: optimal_welfare(a, alpha, 0.1, caps=b))
    assert np.isfinite(inside(a, 0.1, 1.0))
    assert np.isnan(inside(-a, 0.1, 1.0))
    assert np.isnan(inside(a, -0.3, 1.0))
    assert np.isnan(inside(a, 0.1, 0.2))
    # What is known while a program is written is refused then.
    with pytest.raises(ValueError, match="`caps`"):
        jax.grad(lambda a: optimal_welfare(a, 0.1, 0.1, caps=0.2))(a)
    with pytest.raises(ValueError, match="`alpha`"):
        jax.jit(lambda alpha: optimal_welfare(a, alpha, 0.1))(np.ones(2))
    with pytest.raises(ValueError, match="nonconcave"):
        jax.grad(lambda a: optimal_welfare(a, -0.3, 0.1))(a)


@pytest.mark.slow
def test_slopes_on_many_instances():
    wrong = 0
    for seed in range(100, 180):
        values, alpha, beta, caps, disposal = draw(seed)
        arguments = (values, alpha, beta, caps)
        found = slopes(*arguments, disposal)
        shares, _ = solve_lp(Problem(values, alpha, beta, caps, disposal))
        order = (1 + supergradient((values * shares).sum(1), alpha, beta))[:, None] * shares
        for at, slope in enumerate(found):
            up, down = difference(lambda *x, free=disposal: best(*x, free), arguments, at)
            away = np.abs(up - down) < 1e-3
            np.testing.assert_allclose(slope[away], ((up + down) / 2)[away], atol=2e-4)
            wrong += at == 0 and np.abs(order - slope)[away].max(initial=0) > 1e-2
    assert wrong > 40  # ties are the normal case: the order of utilities is mostly wrong
