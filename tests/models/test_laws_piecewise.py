"""Piecewise-linear quantile functions and the worst-case family against exact fractions and finite differences."""

import doctest
import importlib
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from fairhand.models import Discrete, Mixture, PiecewiseLinear, Uniform, WorstCaseFamily
from helpers import assert_close

LEVELS = [Fraction(0), Fraction(1, 8), Fraction(1, 2), Fraction(15, 16), Fraction(1)]
VALUES = [Fraction(-1, 2), Fraction(1, 4), Fraction(1), Fraction(5, 4), Fraction(4)]
KNOTS = list(zip(LEVELS, VALUES, strict=True))
PAIRS = list(zip(KNOTS[:-1], KNOTS[1:], strict=True))
Q = Fraction(float(2 - 2**0.5))  # the floating number itself


def exact(pieces, n):
    """E of the largest of n draws: ∫ n u^(n−1) Q(u) du, piece (a, b, low, high) by piece, in fractions."""
    total = Fraction(0)
    for a, b, low, high in pieces:
        slope = (high - low) / (b - a)
        start = low - slope * a
        total += start * (b**n - a**n) + slope * Fraction(n, n + 1) * (b ** (n + 1) - a ** (n + 1))
    return total


def worst_pieces(p, delta, q=Q):
    levels = [Fraction(0), 1 - q - p, 1 - p, Fraction(1)]
    bases = [Fraction(0), Fraction(1), (1 - q) / p]
    return [(a, b, base, base + delta) for a, b, base in zip(levels[:-1], levels[1:], bases, strict=True)]


PIECES = [(a, b, x, y) for (a, x), (b, y) in PAIRS]


def tail(pieces, u):
    parts = [
        (max(a, u), b, low + (high - low) * (max(a, u) - a) / (b - a), high) for a, b, low, high in pieces if b > u
    ]
    return sum((b - a) * (low + high) / 2 for a, b, low, high in parts)


def excess(pieces, x):
    total = Fraction(0)
    for a, b, low, high in pieces:
        if x <= low:
            total += (b - a) * ((low + high) / 2 - x)
        elif x < high:
            total += (b - a) * (high - x) ** 2 / (2 * (high - low))
    return total


@pytest.fixture
def law():
    with jax.enable_x64(True):
        yield PiecewiseLinear(np.array(LEVELS, float), np.array(VALUES, float))


# Free knots


def test_quantiles_and_tails_are_exact_on_and_between_knots(law):
    assert law.quantile([float(u) for u in LEVELS]).tolist() == [float(x) for x in VALUES]
    middles = [(a + b) / 2 for a, b in zip(LEVELS[:-1], LEVELS[1:], strict=True)]
    centres = [(x + y) / 2 for x, y in zip(VALUES[:-1], VALUES[1:], strict=True)]
    assert_close(law.quantile([float(u) for u in middles]), [float(x) for x in centres])
    assert_close(law.cdf([float(x) for x in VALUES + centres]), [float(u) for u in LEVELS + middles])
    assert_close(law.survival([float(x) for x in VALUES + centres]), [float(1 - u) for u in LEVELS + middles])
    heights = [float((b - a) / (y - x)) for (a, x), (b, y) in PAIRS]
    assert_close(law.density([float(x) for x in centres]), heights)
    assert law.density([-1.0, 5.0]).tolist() == [0, 0]


def test_integrals_are_exact(law):
    levels = [Fraction(k, 32) for k in range(33)]
    assert_close(law.tail_integral([float(u) for u in levels]), [float(tail(PIECES, u)) for u in levels])
    grid = [Fraction(k, 8) for k in range(-8, 40)]
    assert_close(law.expected_excess([float(x) for x in grid]), [float(excess(PIECES, x)) for x in grid])
    counts = [1, 2, 3, 7, 40]
    assert_close(law.expected_max(counts), [float(exact(PIECES, n)) for n in counts])
    assert_close(law.mean, float(exact(PIECES, 1)))
    assert law.is_valid is False  # it starts below 0


def test_maxima_of_many_draws_keep_rare_high_values():
    """One level in a billion, a million draws, and pieces as narrow as that: no difference may cancel."""
    tiny = Fraction(1, 2**30)
    pieces = [(Fraction(0), Fraction(1, 2), Fraction(0), Fraction(1))]
    pieces += [(Fraction(1, 2), Fraction(1, 2) + tiny, Fraction(1), Fraction(3))]
    pieces += [
        (Fraction(1, 2) + tiny, 1 - tiny, Fraction(3), Fraction(4)),
        (1 - tiny, Fraction(1), Fraction(4), 4 / tiny),
    ]
    levels = [0.0, *(float(b) for _, b, _, _ in pieces)]
    values = [0.0, *(float(high) for *_, high in pieces)]
    with jax.enable_x64(True):
        law = PiecewiseLinear(levels, values)
        for n in (1, 2, 1000):
            np.testing.assert_allclose(law.expected_max(n), float(exact(pieces, n)), rtol=1e-14)
        n, top = 10**6, float(pieces[-1][3]) - 4
        # beyond the third piece, where the maximum nearly always is: ∫ of 1 − (1 − s t)ⁿ over t, s = 2^−30
        rest = 1 + np.expm1((n + 1) * np.log1p(-float(tiny))) / ((n + 1) * float(tiny))
        inner = 1 - 1 / (n + 1) / 0.5  # the third piece: ∫ of 1 − uⁿ, u from 1/2 to 1
        np.testing.assert_allclose(law.expected_max(n), 3 + inner + top * rest, rtol=1e-6)


def test_gradients_in_values_are_weights_and_match_differences():
    levels, values = np.array(LEVELS, float), np.array(VALUES, float)

    def quantities(levels, values):
        law = PiecewiseLinear(levels, values)
        u, x, n = jnp.array([0.0, 0.3, 0.9, 0.97, 1.0]), jnp.array([-1.0, 0.1, 1.1, 3.0]), jnp.array([1, 5, 300])
        parts = [law.quantile(u), law.tail_integral(u), law.expected_max(n), law.mean[None]]
        return jnp.concatenate([*parts, law.cdf(x), law.survival(x), law.expected_excess(x), law.density(x)])

    with jax.enable_x64(True):
        run = jax.jit(lambda *knots: (quantities(*knots), jax.jacfwd(quantities, (0, 1))(*knots)))
        by_levels, by_values = run(levels, values)[1]
        h = 1e-6
        for k in range(5):
            e = h * np.eye(5)[k]
            numeric = (run(levels, values + e)[0] - run(levels, values - e)[0]) / (2 * h)
            np.testing.assert_allclose(by_values[:, k], numeric, atol=1e-7)
            if 0 < k < 4:
                numeric = (run(levels + e, values)[0] - run(levels - e, values)[0]) / (2 * h)
                np.testing.assert_allclose(by_levels[:, k], numeric, atol=1e-7)
        n = 4  # by values the weights of the knots sum to 1, whatever n
        weights = jax.grad(lambda values: PiecewiseLinear(levels, values).expected_max(n))(values)
        np.testing.assert_allclose(weights.sum(), 1, rtol=1e-14)
        slopes = jax.vmap(jax.grad(PiecewiseLinear(levels, values).tail_integral))(
            jnp.array([0.0, 0.3, 0.5, 0.97, 1.0])
        )
        np.testing.assert_allclose(slopes, -PiecewiseLinear(levels, values).quantile([0.0, 0.3, 0.5, 0.97, 1.0]))


def test_pieces_flattened_by_rounding_are_atoms_and_not_nan():
    flat = jax.jit(lambda v: PiecewiseLinear(jnp.array([0.0, 0.25, 0.75, 1.0]), v))(jnp.array([0.0, 1.0, 1.0, 2.0]))
    read = jax.tree.map(jnp.asarray, flat)
    values = jax.jit(
        lambda law: (law.cdf(1.0), law.survival(1.0), law.quantile(0.5), law.tail_integral(0.5), law.is_valid)
    )
    assert [float(v) for v in values(read)] == [0.75, 0.75, 1.0, 0.625, 0.0]
    total = lambda law: law.quantile(0.5) + law.tail_integral(0.5) + law.expected_max(3) + law.mean
    slope = jax.jit(jax.grad(total))(read)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    assert read.is_regular is False


def test_an_adversary_learns_the_worst_law_by_gradient():
    """Against equal halves for two agents, welfare over first best falls to 3/4 as all value gathers at the top.

    The first picker collects T(1/2), the second half a mean: their sum over E max is least where high values are rarest.
    """
    levels = np.array([0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0])

    def ratio(raw):
        shares = jax.nn.softmax(raw) / (1 - levels[:-1])  # of value times mass
        law = PiecewiseLinear(levels, jnp.concatenate([jnp.zeros(1), jnp.cumsum(shares)]))
        return (law.tail_integral(0.5) + law.mean / 2) / law.expected_max(2)

    with jax.enable_x64(True):
        result = scipy.optimize.minimize(jax.jit(jax.value_and_grad(ratio)), np.zeros(6), jac=True, method="BFGS")
        ramps = [[(a, b, 0.0, 1.0), (b, 1.0, 1.0, 1.0)] for a, b in zip(levels[:-1], levels[1:], strict=True)]
        ramps = [[piece for piece in pieces if piece[0] < piece[1]] for pieces in ramps]
        least = min((tail(pieces, 0.5) + exact(pieces, 1) / 2) / exact(pieces, 2) for pieces in ramps)
        assert 0.75 < least < 0.7526  # both sides are linear in the values, so one ramp attains the least ratio
        assert least < result.fun < least + 1e-4
        assert ratio(np.zeros(6)) > 0.86


def test_uniform_is_one_piece_and_mixtures_take_pieces():
    with jax.enable_x64(True):
        line, uniform = PiecewiseLinear([0, 1], [0.5, 2]), Uniform(0.5, 2)
        u = np.array([0.0, 0.2, 0.7, 1.0])
        assert_close(line.quantile(u), uniform.quantile(u))
        assert_close(line.tail_integral(u), uniform.tail_integral(u))
        assert_close(line.expected_max([1, 9]), uniform.expected_max([1, 9]))
        assert line.is_regular
        both = Mixture([0.25, 0.75], [PiecewiseLinear([0, 0.5, 1], [0, 1, 3]), Discrete([1.0], [1.0])])
        assert_close(both.quantile([0.0625, 0.5, 0.9375]), [0.5, 1.0, 2.0])


@pytest.mark.slow
def test_a_mixture_of_pieces_is_pieces():
    with jax.enable_x64(True):
        halves = Mixture([0.5, 0.5], [PiecewiseLinear([0, 0.5, 1], [0, 1, 3]), Uniform(0.5, 2)])
        knots, cdf = [0, 0.5, 1, 2, 3], [0, 0.125, 5 / 12, 0.875, 1]
        np.testing.assert_allclose(halves.expected_max(3), PiecewiseLinear(cdf, knots).expected_max(3), rtol=1e-12)


# The worst-case family


@pytest.mark.parametrize("p", [0.2, 1e-4, 1e-9])
def test_moments_are_exact_however_rare_the_high_value(p, dtype):
    law = WorstCaseFamily(jnp.asarray(p, dtype), jnp.asarray(2.0**-10, dtype), jnp.asarray(float(Q), dtype))
    p, d, q = (Fraction(float(leaf)) for leaf in (law.p, law.delta, law.q))
    pieces = worst_pieces(p, d, q)
    published = 2 - q * q - q * p - p + d / 2 + d / 6 * (p * p + q * q + (1 - p - q) ** 2)
    assert exact(pieces, 2) == published
    assert exact(pieces, 1) == 1 + d / 2
    assert_close(law.mean, float(1 + d / 2))
    assert_close(law.expected_max([1, 2, 3, 50]), [float(exact(pieces, n)) for n in (1, 2, 3, 50)])
    high = float((1 - q) / p)
    assert_close(law.support, [0.0, high + float(d)])
    assert_close(law.tail_integral([0.0, 0.25, 0.75]), [float(tail(pieces, Fraction(u))) for u in (0, 0.25, 0.75)])
    x = [-0.5, float(d) / 2, 0.5, 1 + float(d) / 2, 2.0]
    assert_close(law.expected_excess(x), [float(excess(pieces, Fraction(v))) for v in x])
    steps = [0, (1 - q - p) / 2, 1 - q - p, 1 - p - q / 2, 1 - p]
    loosen = 60 if dtype == "float32" else 1  # 1 + δ/2 has few of δ's digits
    assert_close(law.cdf(x), [float(v) for v in steps], loosen=loosen)
    np.testing.assert_allclose(law.survival(2.0), float(p), rtol=1e-6 if dtype == "float32" else 1e-14)
    assert law.is_valid is True
    assert law.is_regular is False


def test_the_top_quantiles_are_precise():
    with jax.enable_x64(True):
        law, p = WorstCaseFamily(1e-4, 0.5), 1e-4
        part = np.array([0.0, 0.25, 0.5, 0.9])
        u = 1 - p * part
        expected = (1 - float(Q)) / p + 0.5 * (1 - (1 - u) / p)
        np.testing.assert_allclose(law.quantile(u), expected, rtol=1e-15)
        worth = (1 - u) * (law.quantile(u) + law.support[1]) / 2
        np.testing.assert_allclose(law.tail_integral(u), worth, rtol=1e-14)
        assert law.quantile(1 - 1.001 * p) < 1.5  # and the piece below ends where it should


@pytest.mark.parametrize("p", [0.1, 1e-4, 1e-9])
def test_gradients_in_p_and_q_do_not_cancel(p, dtype):
    """At p = 1e-9 values of 4e8 times probabilities of 1e-9 move against each other; the sum moves by a few units."""
    d, q = 2.0**-10, float(Q)
    best = lambda p, q: WorstCaseFamily(p, jnp.asarray(d, dtype), q).expected_max(2)
    mean = lambda p, q: WorstCaseFamily(p, jnp.asarray(d, dtype), q).mean
    at = jnp.asarray(p, dtype), jnp.asarray(q, dtype)
    slopes = jnp.stack(jax.grad(best, (0, 1))(*at))
    expected = [-q - 1 + d / 3 * (2 * p - 1 + q), -2 * q - p + d / 3 * (2 * q - 1 + p)]
    assert_close(slopes, expected)
    assert_close(jnp.stack(jax.grad(mean, (0, 1))(*at)), [0.0, 0.0])


@pytest.mark.slow
def test_gradients_match_differences():
    def quantities(theta):
        law = WorstCaseFamily(theta[0], theta[1], theta[2])
        u = jnp.array([0.0, 0.1, 0.7, 0.95, 1.0])
        parts = [law.quantile(u), law.tail_integral(u), law.expected_max(jnp.array([1, 3, 40]))]
        return jnp.concatenate(
            [*parts, law.cdf(jnp.array([0.1, 1.1, 5.0])), law.expected_excess(jnp.array([-1, 0.1, 1.5]))]
        )

    with jax.enable_x64(True):
        at, run = np.array([0.1, 0.25, 0.6]), jax.jit(lambda theta: (quantities(theta), jax.jacfwd(quantities)(theta)))
        numeric = np.stack([(run(at + h)[0] - run(at - h)[0]) / 2e-6 for h in 1e-6 * np.eye(3)], -1)
        np.testing.assert_allclose(run(at)[1], numeric, atol=1e-7)


def test_the_ratio_tends_to_the_papers_bound_and_its_worst_q_is_learned():
    with jax.enable_x64(True):
        bound = (2 + np.sqrt(2)) / 4
        gaps = []
        for p in (1e-2, 1e-3, 1e-4):
            law = WorstCaseFamily(p, p)
            share = float((2 - law.q - p) / law.expected_max(2))
            gaps.append(abs(share - bound))
        assert gaps[0] > 5 * gaps[1] > 25 * gaps[2]
        assert gaps[2] < 2e-4
        ratio = lambda q: (2 - q[0]) / WorstCaseFamily(1e-9, 1e-9, q[0]).expected_max(2)
        found = scipy.optimize.minimize(jax.jit(jax.value_and_grad(ratio)), [0.3], jac=True, bounds=[(0.05, 0.95)])
        np.testing.assert_allclose(found.x, 2 - np.sqrt(2), atol=1e-5)


def test_draws_follow_the_law(key):
    with jax.enable_x64(True):
        law = WorstCaseFamily(0.01, 0.5)
        draws = np.asarray(law.sample((40_000,), key=key))
        share = np.array([np.mean(draws < 0.6), np.mean(draws > 2)])
        expected = np.array([1 - float(Q) - 0.01, 0.01])
        assert np.all(np.abs(share - expected) < 4 * np.sqrt(expected / 40_000))


def test_levels_may_touch_and_not_overlap():
    touching = WorstCaseFamily(0.25, 1.0, 0.5)
    assert touching.is_regular  # three uniform pieces: 0–1, 1–2, 2–3
    assert_close(touching.quantile([0.0, 0.25, 0.75, 1.0]), [0, 1, 2, 3])
    with pytest.raises(ValueError, match="levels overlap"):
        WorstCaseFamily(0.5, 0.1, 0.5)  # nothing is worthless, and the fortune is 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: WorstCaseFamily(0.0, 0.1), "`p` must be positive"),
        (lambda: WorstCaseFamily(-0.1, 0.1), "`p` must be positive"),
        (lambda: WorstCaseFamily(0.1, 0.0), "`delta` must be positive"),
        (lambda: WorstCaseFamily(0.1, 1.5), "`delta` must be at most 1"),
        (lambda: WorstCaseFamily(0.5, 0.1), "`p` and `q` must not exceed 1"),
        (lambda: WorstCaseFamily(0.3, 0.5), "levels overlap"),
        (lambda: WorstCaseFamily(0.1, 0.1, 1.0), "`q` must be between"),
        (lambda: WorstCaseFamily(np.nan, 0.1), "`p` must be finite"),
        (lambda: PiecewiseLinear([0, 1], [0, 1, 2]), "one entry a knot"),
        (lambda: PiecewiseLinear([0], [0]), "two knots at least"),
        (lambda: PiecewiseLinear(0.0, 1.0), "one entry a knot"),
        (lambda: PiecewiseLinear([0, 0.5, 0.5, 1], [0, 1, 2, 3]), "`levels` must increase"),
        (lambda: PiecewiseLinear([0.1, 1], [0, 1]), "`levels` must increase from 0 to 1"),
        (lambda: PiecewiseLinear([0, 0.9], [0, 1]), "`levels` must increase from 0 to 1"),
        (lambda: PiecewiseLinear([0, 0.5, 1], [0, 1, 1]), "`values` must increase.*`Discrete`"),
        (lambda: PiecewiseLinear([0, 0.5, 1], [0, 2, 1]), "`values` must increase"),
        (lambda: PiecewiseLinear([0, 0.5, 1], [0, np.nan, 1]), "`values` must be finite"),
    ],
)
def test_bad_input_is_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("name", ["piecewise", "worst_case_family"])
def test_examples_in_the_docstrings_run(name):
    module = importlib.import_module(f"fairhand.models.laws.{name}")
    result = doctest.testmod(module, extraglobs={"jax": jax, "jnp": jnp})
    assert result.attempted > 0
    assert result.failed == 0
