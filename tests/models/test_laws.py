"""Value laws against scipy, mpmath, closed forms, brute force over atoms and finite differences."""

import doctest
import importlib
import itertools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special
import scipy.stats

from fairhand.models import laws
from fairhand.models.laws import Beta, Discrete, Empirical, Mixture, Uniform
from helpers import assert_close

SHAPES = np.array([[2.0, 5.0], [0.5, 0.5], [0.1, 3.0], [60.0, 40.0], [1.0, 1.0], [3.0, 0.2]])
LEVELS = np.array([1e-3, 0.1, 0.37, 0.5, 0.8, 0.999])

# a, b, x, I_x(a, b) and its derivatives in a and b: mpmath 1.4 at 60 digits, central differences of step 1e-18.
INCOMPLETE_BETA = np.array(
    [
        (2, 5, 0.3, 0.5798249999999999, -0.25241578126828584, 0.09944489456945688),
        (0.5, 0.5, 0.9, 0.7951672353008665, -0.2768155243583512, 0.5926200221433794),
        (0.05, 3, 1e-09, 0.3818679101262672, -7.363589463578862, 0.007468001305660679),
        (3, 0.05, 0.999, 0.2381458954158941, -0.014862948517385424, 4.166872043736678),
        (200, 300, 0.41, 0.6776281647721789, -0.019477054685530487, 0.013253355464568035),
        (900, 280, 0.78, 0.9204780868807415, -0.0023354474258787733, 0.007885493529493248),
        (0.3, 98, 0.02, 0.9772028709937036, -0.10219165364426339, 0.000583668453077733),
        (1, 1, 0.25, 0.25, -0.34657359027997264, 0.2157615543388357),
        (40, 0.7, 0.5, 2.8246494705689847e-13, -1.9784190535006219e-13, 1.1989081685932615e-12),
    ]
)


def differences(function, theta, step=1e-6):
    """Central differences of `function` at `theta [k]`, the derivative last."""
    steps = step * np.eye(len(theta))
    return np.stack([(np.asarray(function(theta + h)) - function(theta - h)) / (2 * step) for h in steps], -1)


def spiked(theta):
    """Nine parameters: a spike at 0 and one at 0.7, a beta and a uniform part."""
    weights = jnp.stack([theta[0], theta[1], 1 - theta[0] - theta[1]])
    atoms = Discrete(jnp.stack([theta[6], theta[7]]), jnp.stack([theta[8], 1 - theta[8]]))
    return Mixture(weights, [Beta(theta[2], theta[3]), Uniform(theta[4], theta[5]), atoms])


SPIKED = np.array([0.3, 0.45, 2.0, 5.0, 0.2, 1.3, 0.0, 0.7, 0.4])


@pytest.fixture(scope="module")
def mixture():
    with jax.enable_x64(True):
        return spiked(jnp.asarray(SPIKED))


# Uniform


def test_uniform_matches_scipy(dtype):
    law, reference = Uniform(jnp.asarray(-1.0, dtype), 3), scipy.stats.uniform(-1, 4)
    u, x = LEVELS.astype(dtype), np.array([-2, -1, 0.5, 3, 4], dtype)
    assert_close(law.quantile(u), reference.ppf(u))
    assert_close(law.cdf(x), reference.cdf(x))
    assert_close(law.survival(x), reference.sf(x))
    assert_close(law.density(x), reference.pdf(x))
    assert_close(law.tail_integral(u), [scipy.integrate.quad(reference.ppf, v, 1)[0] for v in u])
    assert_close(law.expected_excess(x), [reference.expect(lambda v, c=c: max(v - c, 0.0)) for c in x], loosen=100)
    assert_close(law.expected_max([1, 3]), [1.0, 2.0])


def test_uniform_ends_have_the_gradients_of_the_parameters():
    low, high = 0.25, 2.0
    ends = lambda ends: Uniform(*ends).quantile(jnp.array([0.0, 0.3, 1.0]))
    assert_close(jax.jacobian(ends)(jnp.array([low, high])), [[1, 0], [0.7, 0.3], [0, 1]])
    assert_close(jax.grad(lambda low: Uniform(low, high).tail_integral(0.0))(low), 0.5)


# Beta


@pytest.mark.slow
def test_beta_matches_scipy(dtype):
    law = Beta(*SHAPES.T.astype(dtype))
    reference = scipy.stats.beta(*SHAPES.T.astype(dtype).astype(float)[:, :, None])
    each = lambda method, v: jax.vmap(lambda law, v: getattr(law, method)(v))(law, jnp.asarray(v))
    x = reference.ppf(LEVELS).astype(dtype)
    assert_close(each("cdf", x), reference.cdf(x.astype(float)))
    assert_close(each("survival", x), reference.sf(x.astype(float)), loosen=2)
    inside = np.clip(x, 1e-30, 1 - 1e-6)
    assert_close(each("density", inside), reference.pdf(inside.astype(float)), loosen=5)
    u = np.broadcast_to(LEVELS.astype(dtype), x.shape)
    assert_close(each("quantile", u), reference.ppf(u.astype(float)))
    tail = lambda a, b, v: scipy.integrate.quad(lambda w: scipy.special.betaincinv(a, b, w), v, 1, epsabs=1e-13)[0]
    assert_close(each("tail_integral", u), [[tail(a, b, v) for v in LEVELS] for a, b in SHAPES], loosen=10)


@pytest.mark.slow
def test_beta_cdf_and_its_shape_gradients_match_mpmath():
    a, b, x, value, in_a, in_b = INCOMPLETE_BETA.T
    with jax.enable_x64(True):
        cdf, slopes = jax.vmap(jax.value_and_grad(lambda shapes, x: Beta(*shapes).cdf(x)))((a, b), x)
    np.testing.assert_allclose(cdf, value, rtol=2e-13)
    np.testing.assert_allclose(slopes[0], in_a, rtol=1e-11)
    np.testing.assert_allclose(slopes[1], in_b, rtol=1e-11)
    single = jax.vmap(jax.grad(lambda a, b, x: Beta(a, b).cdf(x), argnums=(0, 1)))
    loose = np.stack(single(*(v.astype("float32") for v in (a, b, x))))
    np.testing.assert_allclose(loose, np.stack([in_a, in_b]), rtol=2e-4, atol=1e-4)


@pytest.mark.slow
def test_beta_quantiles_and_tails_have_implicit_gradients():
    def quantities(theta):
        law, u = Beta(theta[0], theta[1]), theta[2]
        return jnp.stack([law.quantile(u), law.tail_integral(u), law.expected_excess(u), law.density(u), law.mean])

    with jax.enable_x64(True):
        slopes = jax.jit(jax.vmap(jax.jacfwd(quantities)))
        for point in ([2.0, 5.0, 0.3], [0.5, 0.7, 0.95], [30.0, 20.0, 0.02]):
            numeric = differences(jax.jit(quantities), np.array(point))
            np.testing.assert_allclose(slopes(jnp.array([point]))[0], numeric, rtol=1e-7, atol=1e-8)


def test_beta_quantile_at_the_ends_does_not_move_with_the_shapes():
    for a, b in ((2.0, 3.0), (0.5, 0.5), (1.0, 1.0)):
        for u in (0.0, 1.0):
            in_a, in_b = jax.grad(lambda a, b, u=u: Beta(a, b).quantile(u), argnums=(0, 1))(a, b)
            assert Beta(a, b).quantile(u) == u
            assert (in_a, in_b) == (0, 0)


def test_second_derivative_of_the_tail_integral_is_minus_one_over_the_density():
    with jax.enable_x64(True):
        law, u = Beta(2.0, 5.0), 0.3
        bend = jax.grad(jax.grad(law.tail_integral))(u)
        np.testing.assert_allclose(bend, -1 / scipy.stats.beta(2, 5).pdf(scipy.stats.beta(2, 5).ppf(u)), rtol=1e-10)


@pytest.mark.slow
def test_beta_expected_max_matches_closed_form_and_mpmath():
    a, n = jnp.array([0.05, 0.7, 3.0, 20.0]), np.array([1, 5, 1000])
    with jax.enable_x64(True):
        power = jax.vmap(jax.value_and_grad(lambda a, n: Beta(a, 1.0).expected_max(n)), (0, None))
        for count in n:  # Beta(a, 1) is the power law, whose maximum of n is Beta(n a, 1)
            value, slope = power(np.asarray(a, float), count)
            np.testing.assert_allclose(value, count * a / (count * a + 1), rtol=1e-6)
            exact = np.asarray(a, float)
            np.testing.assert_allclose(value, count * exact / (count * exact + 1), rtol=1e-11)
            # 3e-14 is what derivatives of the incomplete beta function promise
            np.testing.assert_allclose(slope, count / (count * exact + 1) ** 2, rtol=1e-10, atol=3e-14)
        rows = [(2, 5, 7, 0.5216545471788964), (0.1, 3, 20, 0.29445678175054274), (200, 300, 1000, 0.4719470711778544)]
        for a, b, count, expected in rows:  # mpmath 1.4, 25 digits
            np.testing.assert_allclose(Beta(a, b).expected_max(count), expected, rtol=1e-12)


# Laws of atoms


ATOMS, PROBS = [3, 0, 1, 7], [Fraction(1, 8), Fraction(1, 2), Fraction(3, 8), Fraction(0)]  # exact in binary


def exact_quantile(u):
    total = Fraction(0)
    for atom, prob in sorted(zip(ATOMS, PROBS, strict=True)):
        total += prob
        if prob > 0 and total >= u:
            return atom
    raise AssertionError


def test_discrete_equals_exact_enumeration(dtype):
    law = Discrete(np.array(ATOMS, dtype), np.array(PROBS, dtype))
    pairs = list(zip(ATOMS, PROBS, strict=True))
    x = np.array([-1, 0, 0.5, 1, 3, 5, 7, 8])
    assert law.cdf(x).tolist() == [float(sum(p for a, p in pairs if a <= v)) for v in x]
    assert law.survival(x).tolist() == [float(sum(p for a, p in pairs if a >= v)) for v in x]
    assert law.expected_excess(x).tolist() == [float(sum(p * max(a - Fraction(v), 0) for a, p in pairs)) for v in x]
    levels = [Fraction(k, 16) for k in range(17)]
    assert law.quantile([float(u) for u in levels]).tolist() == [exact_quantile(u) for u in levels]
    middles = [Fraction(2 * k + 1, 32) for k in range(16)]
    tail = [float(sum(exact_quantile(v) for v in middles if v > u) / Fraction(16)) for u in levels]
    assert law.tail_integral([float(u) for u in levels]).tolist() == tail
    best = sum(max(a for a, _ in draw) * np.prod([p for _, p in draw]) for draw in itertools.product(pairs, repeat=3))
    assert float(law.expected_max(3)) == float(best)
    assert law.mean == float(sum(a * p for a, p in pairs))
    assert [float(end) for end in law.support] == [0, 3]  # an atom that never occurs is no support
    assert law.density(0.0) == 0


def test_discrete_keeps_order_and_digits():
    third = 1 / 3
    law = Discrete([5 / 6, third, 0], [0.25, 0.25, 0.5])
    assert law.atoms.tolist() == [5 / 6, third, 0]
    with jax.enable_x64(True):
        assert law.quantile(0.75) == third
        assert law.quantile(0.5) == 0


def test_survival_is_not_one_minus_cdf_on_an_atom():
    """The slip E1 of paper 000: with P(X > x) in place of P(X ≥ x) promise keeping fails."""
    law = Discrete([0.0, 1.0], [0.25, 0.75])
    assert law.survival(1.0) == 0.75
    assert 1 - law.cdf(1.0) == 0


def test_draws_never_show_an_atom_of_probability_zero(key):
    law = Discrete([0.0, 1.0, 2.0, 3.0], [0.0, 0.25, 0.0, 0.75])
    values, counts = np.unique(law.sample((4000,), key=key), return_counts=True)
    assert values.tolist() == [1, 3]
    assert abs(counts[0] / 4000 - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 4000)


@pytest.mark.slow
def test_discrete_gradients_match_differences_along_the_simplex():
    def quantities(theta):
        law = Discrete(theta[:3], jnp.stack([theta[3], theta[4], 1 - theta[3] - theta[4]]))
        return jnp.stack(
            [law.mean, law.cdf(0.5), law.survival(0.5), law.expected_excess(0.3), law.expected_max(4)]
            + [law.quantile(0.9), law.tail_integral(0.1), law.tail_integral(0.6)]
        )

    theta = np.array([0.7, -0.2, 1.1, 0.3, 0.45])
    with jax.enable_x64(True):
        numeric = differences(jax.jit(quantities), theta)
        np.testing.assert_allclose(jax.jacrev(quantities)(jnp.asarray(theta)), numeric, atol=1e-8)


def test_hard_draws_say_nothing_about_probabilities(key):
    """Negative control: the pathwise gradient is 0 where the gradient of the mean is 1."""
    law = lambda p: Discrete([0.0, 1.0], jnp.stack([1 - p, p]))
    assert jax.grad(lambda p: law(p).sample((50,), key=key).mean())(0.3) == 0
    assert_close(jax.grad(lambda p: law(p).mean)(0.3), 1.0)


def test_expected_max_of_many_draws_keeps_rare_atoms():
    p, n = 1e-6, 10**6
    assert_close(Discrete([0.0, 1.0], [1 - p, p]).expected_max(n), -np.expm1(n * np.log1p(-p)), loosen=5)


def test_empirical_matches_numpy_with_ties(dtype):
    samples = np.array([3, 1, 2, 2, 0, 2, 9], dtype)
    law = Empirical(samples)
    u = np.linspace(0, 1, 50, dtype=dtype)[1:]
    assert law.quantile(u).tolist() == np.quantile(samples, u, method="inverted_cdf").tolist()
    levels = np.arange(8, dtype=dtype) / 7
    assert law.quantile(levels).tolist() == [0, 0, 1, 2, 2, 2, 3, 9]
    x = np.array([-1, 2, 2.5, 9])
    assert_close(law.cdf(x), [(samples <= v).mean() for v in x])
    assert_close(law.survival(x), [(samples >= v).mean() for v in x])
    assert_close(law.tail_integral(levels), [np.sort(samples)[k:].sum() / 7 for k in range(8)])
    assert_close(law.expected_max(2), np.maximum.outer(samples, samples).mean())
    assert_close(jax.grad(lambda s: Empirical(s).tail_integral(5.5 / 7))(samples), np.array([1, 0, 0, 0, 0, 0, 2]) / 14)


# Mixtures


@pytest.mark.slow
def test_mixture_quantile_inverts_the_cdf_and_returns_atoms(mixture):
    u = np.setdiff1d(np.linspace(0, 1, 401), [0.1])  # F(0) = 0.1 up to rounding
    with jax.enable_x64(True):
        x = mixture.quantile(u)
        below, above = mixture.cdf(x), mixture.survival(x)
        assert np.all(below >= u - 1e-15)
        assert np.all(1 - above <= u + 1e-15)
        assert mixture.quantile([0.05, 0.62, 0.75]).tolist() == [0, 0.7, 0.7]
        reference = lambda x: 0.3 * scipy.stats.beta(2, 5).cdf(x) + 0.45 * scipy.stats.uniform(0.2, 1.1).cdf(x)
        root = scipy.optimize.brentq(lambda x: reference(x) + 0.1 - 0.3, 0, 0.7, xtol=1e-15)
        np.testing.assert_allclose(mixture.quantile(0.3), root, rtol=1e-12)


@pytest.mark.slow
def test_mixture_integrals_match_quadrature(mixture):
    with jax.enable_x64(True):
        F = lambda x: 0.1 + 0.3 * scipy.stats.beta(2, 5).cdf(x) + 0.45 * scipy.stats.uniform(0.2, 1.1).cdf(x)
        parts = [(0, 0.2, 0), (0.2, 0.7, 0), (0.7, 1, 0.15), (1, 1.3, 0.15)]
        integral = lambda g: sum(scipy.integrate.quad(lambda x, j=j: g(F(x) + j), p, q)[0] for p, q, j in parts)
        np.testing.assert_allclose(mixture.mean, integral(lambda F: 1 - F), rtol=1e-10)
        np.testing.assert_allclose(mixture.expected_max(5), integral(lambda F: 1 - F**5), rtol=1e-10)
        u = 0.3
        np.testing.assert_allclose(  # T(u) = (1 − u) Q(0) + ∫ min(1 − F, 1 − u)
            mixture.tail_integral(u), integral(lambda F: min(1 - F, 1 - u)), rtol=1e-7
        )


@pytest.mark.slow
def test_mixture_gradients_match_differences():
    """On atoms, between them and at the ends, in weights, shapes, ends, atoms and probabilities alike."""

    def quantities(theta):
        law = spiked(theta)
        return jnp.concatenate(
            [law.quantile(jnp.array([0.05, 0.3, 0.62, 0.8, 1.0])), law.tail_integral(jnp.array([0.05, 0.3, 0.62, 0.9]))]
            + [law.expected_max(jnp.array([1, 5])), law.cdf(jnp.array([0.5])), law.expected_excess(jnp.array([0.33]))]
        )

    with jax.enable_x64(True):
        slopes = jax.jit(jax.jacfwd(quantities))(jnp.asarray(SPIKED))
        np.testing.assert_allclose(slopes, differences(jax.jit(quantities), SPIKED), atol=5e-9)


@pytest.mark.slow
def test_mixture_quantile_jumps_over_gaps_and_ignores_absent_parts():
    law = Mixture([0.5, 0.5, 0.0], [Uniform(0, 1), Uniform(2, 3), Beta(2, 2)])
    assert_close(law.quantile([0.25, 0.5, 0.75]), [0.5, 1.0, 2.5])
    assert_close(law.support, [0.0, 3.0])
    far = Mixture([1.0, 0.0], [Uniform(0, 1), Uniform(-5, 9)])
    assert_close(far.quantile([0.0, 0.3, 1.0]), [0.0, 0.3, 1.0])
    assert_close(far.expected_max(3), 0.75)


@pytest.mark.slow
def test_nested_mixture_is_the_flat_one():
    flat = Mixture([0.25, 0.25, 0.5], [Uniform(), Uniform(1, 2), Discrete([0.5], [1.0])])
    nested = Mixture([0.5, 0.5], [Mixture([0.5, 0.5], [Uniform(), Uniform(1, 2)]), Discrete([0.5], [1.0])])
    assert_close(nested.quantile(LEVELS), flat.quantile(LEVELS))
    assert_close(nested.expected_max(3), flat.expected_max(3))


# Samples


@pytest.mark.parametrize("law", [Uniform(1, 3), Beta(2, 5), Discrete([0, 1, 5], [0.5, 0.25, 0.25])])
def test_samples_follow_the_law(law, key):
    draws = np.asarray(law.sample((5000,), key=key))
    low, high = law.support
    assert draws.shape == (5000,)
    assert draws.min() >= low
    assert draws.max() <= high
    assert abs(draws.mean() - law.mean) < 4 * draws.std() / np.sqrt(5000)
    grid = np.quantile(draws, [0.1, 0.5, 0.9])
    ranks = np.mean(draws[:, None] <= grid, 0)
    assert np.all(np.abs(ranks - law.cdf(grid)) < 0.03)


@pytest.mark.slow
def test_samples_have_pathwise_gradients(key):
    draw = lambda theta: Beta(theta[0], theta[1]).sample((200,), key=key)
    with jax.enable_x64(True):
        theta = np.array([2.0, 5.0])
        slopes = jax.jacfwd(draw)(jnp.asarray(theta))
        np.testing.assert_allclose(slopes, differences(draw, theta), atol=1e-7)
        bias = slopes[:, 0].mean() - 5 / 49  # d mean / da = b / (a + b)^2
        assert abs(bias) < 4 * slopes[:, 0].std() / np.sqrt(200)


def test_laws_that_share_a_key_share_their_luck(key):
    better, worse = Beta(5.0, 2.0).sample((100,), key=key), Beta(2.0, 5.0).sample((100,), key=key)
    assert np.all(better > worse)


# What holds for every law

EVERY = [
    Uniform(0.5, 2),
    Beta(2, 5),
    Discrete([0, 0.5, 2], [0.5, 0.25, 0.25]),
    Empirical([0.1, 0.4, 0.4, 3]),
    Mixture([0.5, 0.5], [Discrete([0.0], [1.0]), Uniform()]),
]
NAMED = pytest.mark.parametrize("law", EVERY, ids=lambda law: type(law).__name__)


@pytest.mark.slow
@NAMED
def test_vmap_over_draws_equals_a_loop(law):
    both = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * 2), law)
    u = jnp.array([0.1, 0.6])
    mapped = jax.vmap(lambda law: (law.quantile(u), law.tail_integral(u), law.expected_max(3)))(both)
    for one, many in zip((law.quantile(u), law.tail_integral(u), law.expected_max(3)), mapped, strict=True):
        assert_close(many, jnp.stack([one, one]))


def test_a_posterior_of_betas_gives_each_draw_its_own():
    posterior = Beta([2.0, 0.5], [5.0, 0.5])
    assert_close(jax.vmap(lambda law: law.mean)(posterior), [2 / 7, 0.5])
    with pytest.raises(ValueError, match=r"`a` has shape \(2,\).*jax\.vmap"):
        posterior.quantile(0.5)


@NAMED
def test_jit_equals_eager_and_nothing_calls_the_host(law):
    function = lambda law, u: (law.quantile(u), law.cdf(u), law.mean, law.support, law.is_valid)
    u = jnp.array([0.0, 0.2, 0.7])
    for compiled, eager in zip(
        jax.tree.leaves(jax.jit(function)(law, u)), jax.tree.leaves(function(law, u)), strict=True
    ):
        assert_close(np.asarray(compiled, float), np.asarray(eager, float))
    assert "callback" not in str(jax.make_jaxpr(jax.grad(lambda law: law.tail_integral(0.3)))(law))


@NAMED
def test_dtype_follows_parameters_and_arguments(law):
    with jax.enable_x64(True):
        single = jax.tree.map(lambda leaf: jnp.asarray(leaf, "float32"), law)
        assert single.quantile(0.3).dtype == single.mean.dtype == single.support[0].dtype == "float32"
        assert single.expected_max(3).dtype == single.sample(key=jax.random.key(0)).dtype == "float32"
        assert single.cdf(np.float64(0.3)).dtype == law.cdf(np.float32(0.3)).dtype == "float64"
        assert single.cdf([0, 1]).dtype == single.atoms.dtype == "float32" or isinstance(single.atoms, np.ndarray)


@NAMED
def test_outside_and_missing_numbers_are_not_clipped(law):
    assert np.isnan(law.quantile([-0.1, 1.1, np.nan])).all()
    assert np.isnan(law.tail_integral([-0.1, 1.1, np.nan])).all()
    assert np.isnan(law.cdf(np.nan))
    assert law.cdf([-np.inf, np.inf]).tolist() == [0, 1]
    assert law.survival([-np.inf, np.inf]).tolist() == [1, 0]
    assert law.quantile([0.0, 1.0]).tolist() == [float(end) for end in law.support]
    assert law.tail_integral(1.0) == 0
    assert_close(law.tail_integral(0.0), law.mean)


@NAMED
def test_a_law_is_a_pytree_of_its_parameters(law):
    leaves, structure = jax.tree.flatten(law)
    again = jax.tree.unflatten(structure, leaves)
    assert again.quantile(0.4) == law.quantile(0.4)
    assert all(np.issubdtype(np.asarray(leaf).dtype, np.floating) for leaf in leaves)


def test_validity_is_the_papers():
    assert [law.is_valid for law in EVERY] == [True, True, False, False, False]
    assert Uniform(-1, 1).is_valid is False
    assert Mixture([1, 0], [Uniform(), Uniform(-1, 1)]).is_valid is True
    assert jax.jit(lambda low: Uniform(low, 2.0).is_valid)(-1.0) == False  # noqa: E712


def test_numpyro_distributions_are_the_same_laws(relaxed_ranks):
    x = jnp.array([0.2, 0.7])
    for law in (Beta(2.0, 5.0), Uniform(0.1, 0.9)):
        assert_close(jnp.exp(law.distribution.log_prob(x)), law.density(x), loosen=5)


# Bad input


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Uniform(1, 1), "`low` must be below `high`"),
        (lambda: Uniform(2, 1), "`low` must be below `high`"),
        (lambda: Uniform(0, np.inf), "`high` must be finite"),
        (lambda: Uniform(np.nan, 1), "`low` must be finite"),
        (lambda: Uniform("0", 1), "`low` must be real numbers"),
        (lambda: Beta(0, 1), "`a` must be positive"),
        (lambda: Beta([1, 2], [1, -2]), "`b` must be positive"),
        (lambda: Beta(1, np.nan), "`b` must be finite"),
        (lambda: Beta(1j, 1), "`a` must be real numbers"),
        (lambda: Discrete([0, 1], [0.5, 0.6]), "`probs` must sum to 1.*counts"),
        (lambda: Discrete([0, 1], [0.5, 0.5 + 1e-8]), "`probs` must sum to 1"),
        (lambda: Discrete([0, 1], [1.5, -0.5]), "`probs` must not be negative"),
        (lambda: Discrete([0, 1], [0.5, np.nan]), "`probs` must be finite"),
        (lambda: Discrete([0, 1, 2], [0.5, 0.5]), "`probs` needs one entry an atom"),
        (lambda: Discrete([0, np.inf], [0.5, 0.5]), "`atoms` must be finite"),
        (lambda: Discrete([1, 0, 1], [0.5, 0.25, 0.25]), "`atoms` repeats"),
        (lambda: Discrete([], []), "`probs` needs one entry an atom"),
        (lambda: Empirical([]), "`samples` must hold at least one value"),
        (lambda: Empirical(3.0), "`samples` must hold at least one value"),
        (lambda: Empirical([1, np.nan]), "`samples` must be finite.*missing"),
        (lambda: Mixture([], []), "`laws` must be a list"),
        (lambda: Mixture([1], [3.0]), "`laws` must be a list"),
        (lambda: Mixture([0.5, 0.5], [Uniform()]), "`weights` needs one entry a law"),
        (lambda: Mixture([0.5, 0.4], [Uniform(), Uniform()]), "`weights` must sum to 1"),
        (lambda: Uniform().expected_max(0), "`n` must be a whole number"),
        (lambda: Uniform().expected_max(2.5), "`n` must be a whole number"),
        (lambda: Uniform().quantile(["a"]), "`u` must be real numbers"),
        (lambda: Uniform().cdf(1j), "`x` must be real numbers"),
    ],
)
def test_bad_input_is_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_probabilities_in_float32_need_only_sum_to_its_precision():
    thirds = np.full(3, 1 / 3, "float32")
    assert Discrete([0, 1, 2], thirds).mean == pytest.approx(1)
    assert Discrete(np.arange(1000), np.full(1000, 1e-3, "float32")).mean == pytest.approx(499.5, rel=1e-5)


def test_traced_numbers_are_never_judged():
    assert jax.jit(lambda a: Beta(a, 1.0).mean)(-0.5) == -1
    assert jax.jit(lambda p: Discrete([0.0, 1.0], p).mean)(jnp.array([0.5, 0.7])) == pytest.approx(0.7)


@pytest.mark.parametrize("name", ["uniform", "beta", "discrete", "mixture"])
def test_examples_in_the_docstrings_run(name):
    module = importlib.import_module(f"fairhand.models.laws.{name}")
    names = {"jax": jax, "jnp": jnp, **{law: getattr(laws, law) for law in ("Uniform", "Beta", "Discrete")}}
    result = doctest.testmod(module, extraglobs=names)
    assert result.attempted > 0
    assert result.failed == 0
