"""Truncated normal and log-normal laws against mpmath, scipy, finite differences and identities of moments."""

import doctest
import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from fairhand.models import Mixture, TruncatedLogNormal, TruncatedNormal
from helpers import assert_close

pytestmark = pytest.mark.slow  # mpmath and many compilations

# loc, scale, low, high, u, Q(u), T(u), mean, E of the largest of five: mpmath 1.4, 50 digits. Far in either tail, windows of
# 1e-5, centres far outside, densities nearly flat and nearly a spike, both ends of u.
NORMAL = np.array(
    [
        (0.5, 0.2, 0, 1, 0.3, 0.3965460112291573, 0.41712524930783457, 0.5, 0.7228695344515834),
        (0.5, 0.2, 0, 1, 1e-09, 1.1268412475674945e-08, 0.5, 0.5, 0.7228695344515834),
        (0.5, 0.2, 0, 1, 1 - 2**-30, 0.9999999895054731, 9.313225697285834e-10, 0.5, 0.7228695344515834),
        (0.5, 1e6, 0, 1, 0.7, 0.699999999999993, 0.2549999999999982, 0.5, 0.8333333333333284),
        (0.2, 0.001, -5, 7, 0.01, 0.19767365212595917, 0.19802665214220347, 0.2, 0.20116296447364054),
        (0, 1, 4, 6, 0.5, 4.16109716567986, 2.1896499294543346, 4.225546931806198, 4.504216486002613),
        (0, 1, 20, 21, 1e-06, 20.00000004987595, 20.049733067339726, 20.04975306733975, 20.11347382738007),
        (0, 1, 100, 101, 0.999, 100.06904681455681, 0.10007903791977253, 100.00999800099926, 100.02282771462177),
        (0, 1, -101, -100, 0.2, -100.01609147574985, -80.0047804272343, -100.00999800099926, -100.00199976007836),
        (0, 1, -3, -1, 0.9, -1.0672710948611959, -0.10332458364118921, -1.510049513243984, -1.122205932747057),
        (1, 0.5, 1, 3, 0.25, 1.1593092417350068, 1.129087947296865, 1.3988337132936377, 1.7844962182541566),
        (0, 1, 8.5, 40, 1 - 2**-40, 11.27598808967364, 1.03348875411042e-11, 8.614595320165172, 8.760129750281909),
        (1, 2, -1, 1, 0.6, 0.30156013508623564, 0.261725809563017, 0.080275541427147, 0.7108260620131898),
        (0, 1, 30, 30 + 2**-16, 0.4, 30.00000610267746, 18.000006408314203, 30.000007628812455, 30.000012715241752),
        (
            0,
            1,
            -0.5,
            2**-16,
            1 - 2**-20,
            1.48010821554154e-05,
            1.43336635675024e-11,
            -0.244828479252493,
            -0.080309845431844,
        ),
    ]
)
LOG_NORMAL = np.array(
    [
        (-1, 0.5, 0, 1, 0.3, 0.28025187586068895, 0.3348465173561016, 0.3980687514484017, 0.6323699799614517),
        (-1, 0.5, 0, 1, 1e-12, 0.010901596289732486, 0.3980687514483915, 0.3980687514484017, 0.6323699799614517),
        (-1, 0.5, 0, 1, 1 - 2**-30, 0.9999999915714155, 9.31322570690613e-10, 0.3980687514484017, 0.6323699799614517),
        (0, 1, 0.5, 2, 0.6, 1.1372793007509836, 0.6046777570870472, 1.0768398503841412, 1.5945753895145862),
        (-3, 0.05, 0, 1, 0.9, 0.05308173297326645, 0.005436485472386996, 0.04984934111568273, 0.052797551577085204),
        (3, 0.2, 0, 1, 0.4, 0.9879341112862663, 0.5969158344673825, 0.9869543360962953, 0.9973543654899151),
        (-8, 0.3, 0.5, 1, 0.75, 0.5085863212563139, 0.12872310654716682, 0.5062141689350328, 0.5142589912112697),
        (0.5, 2.5, 0.001, 100, 0.99, 80.78340293834725, 0.8983195318480519, 7.73555486491136, 26.264001744375097),
        (2, 10000, 0.25, 1, 0.5, 0.5000000032348267, 0.3606737615902731, 0.541010642568778, 0.8078503603393934),
        (-0.5, 1.5, 0, 3, 0.05, 0.04605046716881474, 0.7226885548760097, 0.7240927207451239, 1.6618541528273714),
        (0, 0.01, 0.9, 1.1, 0.999, 1.03138475646101, 0.0010342476927308873, 1.0000500012500209, 1.011720185968344),
    ]
)
TABLES = pytest.mark.parametrize(("kind", "table"), [(TruncatedNormal, NORMAL), (TruncatedLogNormal, LOG_NORMAL)])
BOTH = pytest.mark.parametrize("kind", [TruncatedNormal, pytest.param(TruncatedLogNormal, marks=pytest.mark.slow)])


@functools.cache
def program(kind):
    def ask(parameters, u):
        law = kind(*parameters)
        x = law.quantile(u)
        return jnp.stack(
            [x, law.tail_integral(u), law.mean, law.expected_max(5), law.cdf(x), law.survival(x), law.density(x)]
        )

    return jax.jit(jax.vmap(ask))


def answers(kind, table, dtype):
    columns = table.T.astype(dtype)
    return np.asarray(program(kind)(tuple(columns[:4]), columns[4]))


@TABLES
def test_cut_laws_match_mpmath(kind, table):
    with jax.enable_x64(True):
        found = answers(kind, table, float)
    u, exact, x = table[:, 4], table[:, 5:], found[:, 0]
    np.testing.assert_allclose(found[:, :3], exact[:, :3], rtol=1e-13)
    np.testing.assert_allclose(found[:, 3], exact[:, 3], rtol=1e-12)
    # F(Q(u)) = u but for the rounding of x, which the density magnifies
    slack = 4e-16 * np.maximum(np.abs(x), np.abs(table[:, 0])) * found[:, 6]
    assert np.all(np.abs(found[:, 4] - u) <= slack + 1e-13 * u)
    assert np.all(np.abs(found[:, 5] - (1 - u)) <= slack + 1e-13 * (1 - u))


@BOTH
def test_single_precision_is_as_good_as_its_inputs(kind):
    table = NORMAL if kind is TruncatedNormal else LOG_NORMAL
    single = answers(kind, table, "float32")
    with jax.enable_x64(True):
        double = answers(kind, table.astype("float32"), float)
    inside = table[:, 4] < 0.999  # beyond, 1 − u is rounding only
    np.testing.assert_allclose(single[inside, :4], double[inside, :4], rtol=1e-5)


def test_quantiles_invert_the_cdf_for_any_window():
    """Centres, scales and widths over four orders of magnitude; half the levels in the last thousandth of either tail."""
    rng, size = np.random.default_rng(0), 200 * len(NORMAL)
    spread = lambda low, high: 10 ** rng.uniform(low, high, size)
    loc, scale, low = rng.normal(size=size) * spread(-2, 2), spread(-2, 2), rng.normal(size=size) * spread(-2, 1)
    high, u = low + spread(-3, 1.5), np.where(rng.random(size) < 0.5, rng.random(size), spread(-12, -3))
    u = np.where(rng.random(size) < 0.5, u, 1 - u)
    rows = np.stack([loc, scale, low, high, u], -1).reshape(-1, len(NORMAL), 5)  # the program is compiled for so many
    with jax.enable_x64(True):
        found = np.concatenate([answers(TruncatedNormal, part, float) for part in rows])
    x, below, above, density = found[:, 0], *found[:, 4:].T
    assert np.isfinite(found).all()
    assert np.all((x >= low) & (x <= high))
    error = np.where(u < 0.5, np.abs(below - u), np.abs(above - (1 - u)))
    slack = 4e-16 * np.maximum(np.abs(x), np.abs(loc)) * density
    assert np.all(error <= 4 * slack + 2e-14 * np.minimum(u, 1 - u))


@pytest.mark.parametrize("window", [(0.5, 0.2, 0.0, 1.0), (0.0, 1.0, 2.0, 4.0), (1.0, 0.3, -1.0, 0.5)])
def test_normal_matches_scipy(window, dtype):
    loc, scale, low, high = window
    law = TruncatedNormal(*(jnp.asarray(v, dtype) for v in window))
    reference = scipy.stats.truncnorm((low - loc) / scale, (high - loc) / scale, loc, scale)
    x = np.array([low - 1, low, *np.linspace(low, high, 7)[1:-1], high, high + 1], dtype)
    precise = 1e-4 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(law.cdf(x), reference.cdf(x.astype(float)), rtol=precise, atol=1e-14)
    np.testing.assert_allclose(law.survival(x), reference.sf(x.astype(float)), rtol=precise, atol=1e-14)
    np.testing.assert_allclose(law.density(x), reference.pdf(x.astype(float)), rtol=precise)
    excess = [reference.expect(lambda v, c=c: v - c, lb=max(c, low), ub=high) if c < high else 0.0 for c in x]
    np.testing.assert_allclose(law.expected_excess(x), excess, rtol=precise, atol=1e-7 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("window", [(-1.0, 0.5, 0.0, 1.0), (0.0, 1.0, 0.5, 2.0), (3.0, 0.2, 0.25, 1.0)])
def test_log_normal_matches_the_normal_of_its_logarithm(window):
    loc, scale, low, high = window
    ends = [(np.log(v) - loc) / scale if v > 0 else -np.inf for v in (low, high)]
    reference = scipy.stats.truncnorm(*ends, loc, scale)
    x = np.array([low, *np.linspace(low, high, 7)[1:-1], high, high + 1, -1.0])
    with jax.enable_x64(True):
        law = TruncatedLogNormal(*window)
        below, above, found, over = law.cdf(x), law.survival(x), law.density(x), law.expected_excess(x)
        mean = float(law.mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.where(x >= 0, np.log(x), -np.inf)
    np.testing.assert_allclose(below, reference.cdf(y), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(above, reference.sf(y), rtol=1e-11, atol=1e-14)
    density = np.where((x > 0) & (x <= high), reference.pdf(y) / np.where(x > 0, x, 1), 0)
    np.testing.assert_allclose(found, density, rtol=1e-11)
    part = lambda c: reference.expect(
        lambda v: np.exp(v) - c, lb=max(np.log(c), ends[0] * scale + loc), ub=np.log(high)
    )
    excess = [mean - c if c <= 0 else part(c) if c < high else 0.0 for c in x]
    np.testing.assert_allclose(over, excess, rtol=1e-11, atol=1e-14)


def test_excess_over_almost_the_greatest_value_keeps_its_digits():
    """For x a hair below high the law is uniform on the rest: P(X ≥ x) (h − x)/2, a difference of 1 and 1 − 1e-12."""
    with jax.enable_x64(True):
        for law in (
            TruncatedLogNormal(-1.0, 0.5, 0.0, 1.0),
            TruncatedNormal(0.3, 0.2, 0.0, 1.0),
            TruncatedNormal(-3, 1, -9, 1),
        ):
            x = 1 - 2.0**-30
            np.testing.assert_allclose(law.expected_excess(x), law.survival(x) * 2.0**-31, rtol=1e-8)


# Gradients


POINTS = [
    (TruncatedNormal, [0.4, 0.3, 0.0, 1.0, 0.2, 0.45]),  # the centre inside
    (TruncatedNormal, [0.4, 0.3, 0.0, 1.0, 0.8, 0.2]),
    (TruncatedNormal, [-1.0, 0.5, 0.0, 1.0, 0.6, 0.3]),  # the centre below
    (TruncatedNormal, [2.0, 0.5, 0.0, 1.0, 0.3, 0.7]),  # and above
    (TruncatedNormal, [-9.0, 0.9, 0.0, 1.0, 0.7, 0.1]),  # ten deviations off
    (TruncatedLogNormal, [-0.4, 0.5, 0.0, 1.0, 0.4, 0.3]),
    (TruncatedLogNormal, [-0.4, 0.5, 0.2, 1.5, 0.9, 0.9]),
    (TruncatedLogNormal, [1.0, 0.3, 0.2, 1.0, 0.3, 0.6]),
    (TruncatedLogNormal, [-5.0, 0.5, 0.2, 1.0, 0.3, 0.3]),
]


@BOTH
def test_gradients_match_differences(kind):
    """In all parameters, in levels and in values."""

    def ask(theta):
        law, u, x = kind(*theta[:4]), theta[4], theta[5]
        parts = [law.quantile(u), law.tail_integral(u), law.mean]
        return jnp.stack([*parts, law.cdf(x), law.survival(x), law.density(x), law.expected_excess(x)])

    with jax.enable_x64(True):
        theta = np.array([point for k, point in POINTS if k is kind])
        run = jax.jit(jax.vmap(lambda theta: (ask(theta), jax.jacfwd(ask)(theta))))
        slopes = np.array(run(theta)[1])
        numeric = np.stack([(run(theta + h)[0] - run(theta - h)[0]) / 2e-6 for h in 1e-6 * np.eye(6)], -1)
        if kind is TruncatedLogNormal:  # a least value of 0 has one side
            slopes[0, :, 2] = numeric[0, :, 2] = 0.0
        np.testing.assert_allclose(slopes, numeric, rtol=1e-7, atol=3e-8)


# window, slope of the mean in loc, which is Cov(X, log or plain X)/scale²: mpmath 1.4.
COVARIANCE = [
    (TruncatedNormal, (0.0, 1.0, 100.0, 101.0), 9.994004994826346e-05),
    (TruncatedNormal, (0.0, 1.0, -101.0, -100.0), 9.994004994826346e-05),
    (TruncatedNormal, (0.5, 0.2, 0.0, 1.0), 0.9112563609353919),
    (TruncatedNormal, (0.0, 1.0, 5.0, 5.0009765625), 7.94727624167089e-08),
    (TruncatedLogNormal, (-8.0, 0.3, 0.5, 1.0), 0.0008552457232237911),
    (TruncatedLogNormal, (3.0, 0.2, 0.25, 1.0), 0.004218810639981272),
]


def test_gradients_far_out_are_those_of_the_moments():
    with jax.enable_x64(True):
        for kind, window, slope in COVARIANCE:
            found = jax.grad(lambda loc, kind=kind, window=window: kind(loc, *window[1:]).mean)(window[0])
            # the slope is a small sum of slopes of order one
            np.testing.assert_allclose(found, slope, rtol=1e-9, atol=1e-12)


@jax.jit
def at_both_ends(law):
    both = lambda law: jnp.stack([law.quantile(jnp.array([0.0, 1.0])), law.tail_integral(jnp.array([0.0, 1.0]))])
    return jax.jacfwd(both)(law), jax.vmap(jax.grad(lambda x: law.cdf(x) + law.expected_excess(x)))(
        jnp.array([0.0, 1.0])
    )


@BOTH
def test_gradients_stay_finite_at_the_ends(kind):
    laws = jax.vmap(kind)(*np.array([(0.4, 0.3, 0.0, 1.0), (-99.0, 1.0, 0.0, 1.0), (9.0, 1.0, 0.0, 1.0)]).T)
    slopes, in_x = jax.vmap(at_both_ends)(laws)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    assert np.isfinite(in_x).all()
    assert slopes.low[:, 0].tolist() == [[1, 0]] * 3
    assert slopes.high[:, 0].tolist() == [[0, 1]] * 3


# Draws and neighbours


def test_draws_follow_the_laws_and_numpyro_agrees(relaxed_ranks, key):
    normal, log_normal = TruncatedNormal(0.2, 0.4, 0.0, 1.0), TruncatedLogNormal(-1.0, 0.5, 0.1, 1.0)
    reference = scipy.stats.truncnorm(-0.5, 2.0, 0.2, 0.4)
    assert scipy.stats.kstest(np.asarray(normal.sample((20_000,), key=key)), reference.cdf).pvalue > 1e-3
    x = jnp.array([0.15, 0.5, 0.95])
    for law in (normal, log_normal, TruncatedLogNormal(-1.0, 0.5, 0.0, 1.0)):
        assert_close(jnp.exp(law.distribution.log_prob(x)), law.density(x), loosen=5)


def test_validity_and_regularity():
    assert TruncatedNormal(0.5, 0.2, 0.0, 1.0).is_valid is True
    assert TruncatedNormal(0.5, 0.2, -0.1, 1.0).is_valid is False
    assert (
        TruncatedNormal(0.5, 1e-3, 0.0, 1.0).is_regular is True
    )  # its density underflows at the ends, and is positive
    assert TruncatedLogNormal(0.0, 1.0, 0.0, 1.0).is_valid is True
    assert TruncatedLogNormal(0.0, 1.0, 0.0, 1.0).is_regular is False
    assert TruncatedLogNormal(0.0, 1.0, 0.1, 1.0).is_regular is True
    assert Mixture([0.5, 0.5], [TruncatedNormal(0.2, 0.1, 0, 1), TruncatedLogNormal(0, 1, 0, 1)]).is_regular is True


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TruncatedNormal(0, 0, 0, 1), "`scale` must be positive"),
        (lambda: TruncatedNormal(0, 1, 1, 1), "`low` must be below `high`"),
        (lambda: TruncatedNormal(0, 1, 0, np.inf), "`high` must be finite"),
        (lambda: TruncatedNormal(np.nan, 1, 0, 1), "`loc` must be finite"),
        (lambda: TruncatedLogNormal(0, -1, 0, 1), "`scale` must be positive"),
        (lambda: TruncatedLogNormal(0, 1, -0.5, 1), "`low` must not be negative"),
        (lambda: TruncatedLogNormal(0, 1, 2, 1), "`low` must be below `high`"),
        (lambda: TruncatedLogNormal("0", 1, 0, 1), "`loc` must be real numbers"),
    ],
)
def test_bad_input_is_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("name", ["truncated_normal", "truncated_log_normal"])
def test_examples_in_the_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(f"fairhand.models.laws.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
