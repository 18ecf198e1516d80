"""Ordered ratings: chances against SciPy and statsmodels, people integrated by brute force, worlds that keep the ratings."""

import doctest
import importlib
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats
from numpyro.infer.util import constrain_fn, potential_energy

from fairhand.models.ratings import CommonLaw, OrderedRatings, RatingData
from fairhand.models.ratings._steps import CutsFromShares, latent_given_step, log1mexp, log_chance
from helpers import assert_close

KEY = jax.random.key(0)
NAN = np.nan
MODEL = OrderedRatings()
BY_PRICE = OrderedRatings("price")
logit = scipy.stats.logistic


def simulated(people=12, items=4, attributes=False, missing=0.25, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    worth = np.linspace(-1.0, 1.0, items)
    price = rng.normal(size=items) * 3 + 10
    a, w = spread * rng.normal(size=(2, people, 1))
    u = worth + a + attributes * 0.5 * w * (price - price.mean()) / price.std()
    stars = 1 + (u[..., None] + rng.logistic(size=(people, items, 1)) > np.array([-2.0, -0.5, 0.5, 2.0])).sum(-1)
    stars = np.where(rng.random(stars.shape) < missing, np.nan, stars)
    data = RatingData(stars, steps=range(1, 6))
    return data.described({"item": range(items), "price": price}, item="item", columns="price") if attributes else data


DATA = simulated()
PRICED = simulated(attributes=True)


# Chances of steps.

CUTS = np.array([-1.5, 0.2, 0.3, 4.0])
EVERY = np.arange(5)


def test_chances_are_differences_of_the_logistic_law(dtype):
    u = jnp.linspace(-6, 6, 13, dtype=dtype)
    step, worth = jnp.meshgrid(jnp.asarray(EVERY), u, indexing="ij")
    found = log_chance(step, worth, jnp.asarray(CUTS, dtype))
    edges = np.concatenate([[-np.inf], CUTS, [np.inf]])[:, None] - np.asarray(u, float)
    assert_close(found, np.log(np.diff(logit.cdf(edges), axis=0)), loosen=100)
    assert_close(jnp.exp(found).sum(0), np.ones(13), loosen=10)


def test_extreme_cells_are_exact_and_their_gradients_finite(dtype):
    u = np.array([200.0, -200.0, 200.0, -200.0, 60.0, 0.0])
    step = np.array([0, 4, 2, 2, 1, 2])
    at = lambda step, u, c: log_chance(step[None], u[None], c)[0]
    every = jax.jit(jax.vmap(jax.value_and_grad(at, (1, 2)), (0, 0, None)))
    value, slopes = every(jnp.asarray(step), jnp.asarray(u, dtype), jnp.asarray(CUTS, dtype))
    edges = np.concatenate([[-np.inf], CUTS, [np.inf]])
    low, high = edges[step] - u, edges[step + 1] - u
    a, b = np.where(low > 0, (-high, -low), (low, high))  # the left tail keeps its digits
    assert_close(value, logit.logcdf(b) + np.log1p(-np.exp(logit.logcdf(a) - logit.logcdf(b))), loosen=100)
    assert all(np.isfinite(np.asarray(x)).all() for x in slopes)
    assert float(jnp.abs(slopes[0]).max()) <= 1
    nothing, slope = jax.jit(jax.value_and_grad(lambda c: at(jnp.asarray(1), jnp.zeros((), dtype), c)))(
        jnp.ones(2, dtype)  # two equal cuts
    )
    assert float(nothing) < -40
    assert np.isfinite(np.asarray(slope)).all()


def test_log_of_one_minus_exp(dtype):
    x = jnp.asarray([1e-6, 0.01, 0.69, 0.71, 5.0, 80.0], dtype)
    exact = np.asarray(x, float)
    assert_close(log1mexp(x), np.log(-np.expm1(-exact)) * (exact < 30) + -np.exp(-exact) * (exact >= 30), loosen=10)


def test_latent_worth_given_its_step_is_a_truncated_logistic():
    size = 4000
    step, worth = jnp.repeat(jnp.asarray([0, 2, 4, -1]), size), jnp.full(4 * size, 0.7)
    y = np.asarray(latent_given_step(step, worth, jnp.asarray(CUTS, "float32"), key=KEY), float).reshape(4, size)
    edges = logit.cdf(np.concatenate([[-np.inf], CUTS, [np.inf]]) - 0.7)
    for draws, (low, high) in zip(y, [(edges[0], edges[1]), edges[2:4], edges[4:], (0.0, 1.0)], strict=True):
        assert scipy.stats.kstest((logit.cdf(draws - 0.7) - low) / (high - low), "uniform").pvalue > 1e-3


def test_latent_worth_far_from_its_step_stays_on_it(dtype):
    step, worth = jnp.asarray([0, 2, 4, 2]), jnp.asarray([90.0, 90.0, -90.0, -90.0], dtype)
    y = np.asarray(latent_given_step(step, worth, jnp.asarray(CUTS, dtype), key=KEY), float)
    edges = np.concatenate([[-np.inf], np.asarray(CUTS, dtype), [np.inf]])
    assert np.isfinite(y).all()
    assert ((edges[np.asarray(step)] <= y) & (y <= edges[np.asarray(step) + 1])).all()


# The prior of cuts.


def test_cuts_have_dirichlet_shares():
    alpha = np.array([1.0, 2.0, 3.5])
    cuts = np.asarray(jax.jit(lambda key: CutsFromShares(jnp.asarray(alpha)).sample(key, (20_000,)))(KEY))
    shares = np.diff(logit.cdf(cuts), axis=1, prepend=0.0, append=1.0)
    law = scipy.stats.dirichlet(alpha)
    np.testing.assert_allclose(shares.mean(0), law.mean(), atol=0.006)
    np.testing.assert_allclose(shares.var(0), law.var(), rtol=0.05)
    assert (np.diff(cuts) > 0).all()


def test_the_density_of_cuts_is_that_of_shares_times_the_change_of_variable():
    alpha = np.array([1.0, 2.0, 3.5, 0.8])
    with jax.enable_x64(True):
        prior = CutsFromShares(jnp.asarray(alpha))
        for cuts in ([-1.0, 0.5, 2.0], [-9.0, -8.5, 3.0]):
            shares = np.diff(logit.cdf(cuts), prepend=0.0, append=1.0)
            expected = scipy.stats.dirichlet.logpdf(shares, alpha) + logit.logpdf(cuts).sum()
            assert_close(prior.log_prob(jnp.asarray(cuts)), expected, loosen=100)


# The likelihood.


def loglike(model, data, taste, worth, cuts):
    args = tuple(map(jnp.asarray, model.arguments(data)))
    return model.person_log_likelihood(jnp.asarray(taste), (jnp.asarray(worth), jnp.asarray(cuts)), *args)


def by_hand(data, taste, worth, cuts, design):
    """Log-likelihood of each person, rating by rating."""
    edges = np.concatenate([[-np.inf], cuts, [np.inf]])
    total = np.zeros(len(data.agents))
    for i, j, k in zip(data.agent, data.item, data.step, strict=True):
        u = worth[j] + taste[i] @ design[j]
        total[i] += np.log(logit.cdf(edges[k + 1] - u) - logit.cdf(edges[k] - u))
    return total


def test_the_likelihood_of_people_is_that_of_their_ratings_one_by_one(dtype):
    rng = np.random.default_rng(1)
    taste, worth = rng.normal(size=(12, 2)), rng.normal(size=4)
    cuts = np.array([-2.0, 0.0, 0.4, 2.0])
    found = loglike(BY_PRICE, PRICED, *(np.asarray(x, dtype) for x in (taste, worth, cuts)))
    assert found.dtype == dtype
    assert_close(found, by_hand(PRICED, taste, worth, cuts, BY_PRICE.design(PRICED)), loosen=100)
    sites = {"taste": taste[None], "worth": worth[None], "cut": cuts[None]}
    each = np.asarray(BY_PRICE.log_densities(sites, PRICED))[0]
    np.testing.assert_allclose(np.bincount(PRICED.agent, each, 12), found, rtol=1e-4)


def test_the_order_of_columns_and_missing_entries_do_not_matter():
    rng = np.random.default_rng(2)
    taste, worth, cuts = rng.normal(size=(12, 1)), rng.normal(size=4), np.array([-2.0, 0.0, 0.4, 2.0])
    turned = RatingData(DATA.ratings[:, ::-1], steps=range(1, 6))
    np.testing.assert_allclose(
        loglike(MODEL, DATA, taste, worth, cuts), loglike(MODEL, turned, taste, worth[::-1], cuts), rtol=1e-5
    )


def test_without_differences_between_people_it_is_the_ordered_model_of_statsmodels():
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    data = simulated(people=60, spread=0.0)
    referee = OrderedModel(data.step, np.eye(4)[data.item][:, 1:], distr="logit")
    with jax.enable_x64(True):
        args = tuple(map(jnp.asarray, MODEL.arguments(data)))
        none = jnp.zeros((60, 1))
        total = jax.jit(lambda q, c: MODEL.person_log_likelihood(none, (q, c), *args).sum())
        unpack = lambda z: (z[:4] - z[:4].mean(), jnp.cumsum(jnp.append(z[4:5], jnp.exp(z[5:]))))
        theirs = lambda q, c: np.concatenate([q[1:] - q[0], [c[0] - q[0]], np.log(np.diff(c))])
        q, c = np.array([0.5, -0.2, 0.1, -0.4]), np.array([-2.0, -0.3, 0.7, 1.8])
        np.testing.assert_allclose(total(q, c), referee.loglike(theirs(q, c)), rtol=1e-10)
        slope = jax.jit(jax.value_and_grad(lambda z: -total(*unpack(z))))
        start = np.concatenate([np.zeros(4), MODEL.start(data)["cut"]])
        best = scipy.optimize.minimize(lambda z: tuple(np.asarray(x, float) for x in slope(z)), start, jac=True)
        q, c = (np.asarray(x) for x in unpack(best.x))
    fitted = referee.fit(method="bfgs", disp=0, maxiter=500, gtol=1e-8)
    np.testing.assert_allclose(-best.fun, fitted.llf, rtol=1e-9)
    np.testing.assert_allclose(theirs(q, c), fitted.params, atol=1e-4)


def test_a_person_is_integrated_out_as_by_brute_force():
    """Nodes of Gauss and Hermite on our likelihood, against adaptive quadrature of one written down again."""
    worth, cuts, sd = np.array([-1.0, 0.2, 0.3, 0.5]), np.array([-2.0, -0.5, 0.5, 2.0]), 1.3
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    with jax.enable_x64(True):
        args = tuple(map(jnp.asarray, MODEL.arguments(DATA)))
        fixed = (jnp.asarray(worth), jnp.asarray(cuts))
        at = jax.jit(jax.vmap(lambda x: MODEL.person_log_likelihood(jnp.full((12, 1), sd * x), fixed, *args)))
        found = np.log(np.exp(at(nodes)).T @ weights / np.sqrt(2 * np.pi))
    edges = np.concatenate([[-np.inf], cuts, [np.inf]])

    def chance(a, i):
        mine = DATA.agent == i
        u, k = worth[DATA.item[mine]] + a, DATA.step[mine]
        return np.prod(logit.cdf(edges[k + 1] - u) - logit.cdf(edges[k] - u)) * scipy.stats.norm.pdf(a, scale=sd)

    expected = [np.log(scipy.integrate.quad(chance, -12, 12, (i,), epsabs=1e-12)[0]) for i in range(12)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


# The whole model.


@pytest.mark.usefixtures("relaxed_ranks")
def test_the_density_is_prior_times_likelihood():
    rng = np.random.default_rng(3)
    args = tuple(map(np.asarray, BY_PRICE.arguments(PRICED)))
    model = OrderedRatings("price", prior_scale=2.0, spread_scale=0.7, evenness=1.5)

    def expected(z, sites):
        q, c, s = (np.asarray(sites[name]) for name in ("worth", "cut", "spread"))
        shares = np.diff(logit.cdf(c), prepend=0.0, append=1.0)
        lower = np.asarray(sites["correlation"])
        root = np.diag(s / [1.0, PRICED.attributes.std()]) @ lower
        np.testing.assert_allclose(sites["taste"], z["raw"] @ root.T, rtol=1e-8)
        return (
            scipy.stats.norm.logpdf(q, scale=2.0).sum()
            + scipy.stats.dirichlet.logpdf(shares, np.full(5, 1.5))
            + logit.logpdf(c).sum()
            + z["cut"][1:].sum()  # to the unconstrained space
            + scipy.stats.halfnorm.logpdf(s, scale=0.7).sum()
            + z["spread"].sum()
            + 4 * np.log(lower[1, 1])  # LKJ(2): the determinant of R, and the slope of tanh
            + scipy.stats.norm.logpdf(z["raw"]).sum()
            + by_hand(PRICED, np.asarray(sites["taste"]), q, c, model.design(PRICED)).sum()
        )

    with jax.enable_x64(True):
        free = {name: x.shape for name, x in model.start(PRICED).items()} | {"raw": (12, 2)}
        points = {name: 0.5 * rng.normal(size=(3, *shape)) for name, shape in free.items()}
        both = lambda z, args: (
            -potential_energy(model.numpyro_model, args, {}, z),
            constrain_fn(model.numpyro_model, args, {}, z, return_deterministic=True),
        )
        found, batch = jax.jit(jax.vmap(both, (0, None)))(points, args)
        points, sites = ([{name: x[i] for name, x in group.items()} for i in range(3)] for group in (points, batch))
        wanted = [expected(z, s) for z, s in zip(points, sites, strict=True)]
        assert abs(np.asarray(sites[0]["worth"]).sum()) < 1e-12
    np.testing.assert_allclose(np.diff(found), np.diff(wanted), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.usefixtures("relaxed_ranks")
def test_both_precisions_have_finite_and_equal_gradients():
    slopes = []
    for bits in (True, False):
        with jax.enable_x64(bits):
            z = {name: jnp.asarray(x) + 0.1 for name, x in BY_PRICE.start(PRICED).items()}
            z["raw"] = jnp.full((12, 2), 0.3)
            args = tuple(map(jnp.asarray, BY_PRICE.arguments(PRICED)))
            slope = jax.jit(jax.grad(lambda z, args=args: potential_energy(BY_PRICE.numpyro_model, args, {}, z)))(z)
            slopes.append({name: np.asarray(x) for name, x in slope.items()})
    assert slopes[0]["worth"].dtype == "float64"
    assert slopes[1]["worth"].dtype == "float32"
    for name, x in slopes[0].items():
        np.testing.assert_allclose(slopes[1][name], x, rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("relaxed_ranks")
def test_the_start_is_where_cuts_have_the_shares_of_the_data():
    free = MODEL.start(DATA) | {"raw": np.zeros((12, 1))}
    with jax.enable_x64(True):
        sites = constrain_fn(MODEL.numpyro_model, MODEL.arguments(DATA), {}, free, return_deterministic=True)
    shares = np.diff(logit.cdf(np.asarray(sites["cut"])), prepend=0.0, append=1.0)
    np.testing.assert_allclose(shares, (np.bincount(DATA.step, minlength=5) + 0.5) / (DATA.num_ratings + 2.5))
    assert np.asarray(sites["worth"]).tolist() == [0, 0, 0, 0]
    assert np.asarray(sites["taste"]).shape == (12, 1)


@pytest.mark.usefixtures("relaxed_ranks")
def test_the_prior_can_be_drawn():
    args = MODEL.arguments(DATA)
    model = lambda key: numpyro.handlers.trace(numpyro.handlers.seed(MODEL.numpyro_model, key)).get_trace(*args)
    one = lambda key: {name: model(key)[name]["value"] for name in ("worth", "cut", "spread", "taste")}
    sites = jax.jit(jax.vmap(one))(jax.random.split(KEY, 1000))
    shares = np.diff(logit.cdf(np.asarray(sites["cut"])), prepend=0.0, append=1.0)
    np.testing.assert_allclose(shares.mean(0), 0.2, atol=0.03)
    assert np.abs(np.asarray(sites["worth"]).sum(1)).max() < 1e-4
    assert abs(np.asarray(sites["worth"]).std() - 2.5 * np.sqrt(3 / 4)) < 0.1
    assert abs(np.asarray(sites["spread"]).mean() - 1.5 * np.sqrt(2 / np.pi)) < 0.1
    assert sites["taste"].shape == (1000, 12, 1)


# Worlds.


def draws_of(model, data, num=6, seed=4):
    rng = np.random.default_rng(seed)
    dims = len(model.terms)
    sites = {
        "worth": rng.normal(size=(num, len(data.items))),
        "cut": np.sort(rng.normal(size=(num, len(data.steps) - 1)) * 2, 1),
        "spread": np.abs(rng.normal(size=(num, dims))) + 0.5,
        "taste": rng.normal(size=(num, len(data.agents), dims)),
    }
    angle = rng.uniform(-1, 1, num)
    lower = np.stack([np.array([[1, 0], [np.sin(a), np.cos(a)]]) for a in angle])
    return sites | ({"correlation": lower} if dims == 2 else {})


def test_the_same_people_keep_the_order_of_their_ratings():
    sites = draws_of(BY_PRICE, PRICED)
    world = BY_PRICE.worlds(sites, PRICED, same=True)
    assert (world.num, world.serves_the_sample) == (6, True)
    for d in range(6):
        values = np.asarray(world.one(d).population(jax.random.key(d)).values)
        edges = np.concatenate([[-np.inf], sites["cut"][d], [np.inf]])
        i, j, k = PRICED.agent, PRICED.item, PRICED.step
        assert (values[i, j] >= edges[k] - 1e-5).all()
        assert (values[i, j] <= edges[k + 1] + 1e-5).all()
    typical = BY_PRICE.worlds(sites, PRICED, same=True, error=False).one(2).population(KEY).values
    expected = sites["worth"][2] + sites["taste"][2] @ BY_PRICE.design(PRICED).T
    np.testing.assert_allclose(typical, expected, rtol=1e-5, atol=1e-5)


def test_what_was_not_rated_has_an_error_like_a_strangers():
    sites = draws_of(MODEL, DATA, num=1)
    world = MODEL.worlds(sites, DATA, same=True).one(0)
    values = np.asarray(jax.jit(jax.vmap(lambda k: world.population(k).values))(jax.random.split(KEY, 500)), float)
    error = values - (sites["worth"][0] + sites["taste"][0])
    assert scipy.stats.kstest(error[:, ~DATA.rated].ravel(), logit.cdf).pvalue > 1e-3
    assert scipy.stats.kstest(error[:, DATA.rated].ravel(), logit.cdf).pvalue < 1e-6


def test_strangers_have_the_tastes_of_the_population():
    sites = draws_of(BY_PRICE, PRICED)
    world = BY_PRICE.worlds(sites, PRICED, agents=20_000, error=False)
    assert (world.num, world.serves_the_sample) == (6, False)
    values = np.asarray(world.one(3).population(KEY).values, float)
    scale = np.array([1.0, PRICED.attributes.std()])
    root = sites["spread"][3][:, None] / scale[:, None] * sites["correlation"][3]
    x = BY_PRICE.design(PRICED)
    np.testing.assert_allclose(values.mean(0), sites["worth"][3], atol=0.05)
    np.testing.assert_allclose(np.cov(values.T), x @ root @ root.T @ x.T, rtol=0.05, atol=0.05)
    more = np.asarray(BY_PRICE.worlds(sites, PRICED, agents=20_000).one(3).population(KEY).values, float)
    np.testing.assert_allclose(np.cov(more.T) - np.cov(values.T), np.eye(4) * np.pi**2 / 3, atol=0.25)


def test_ratings_that_might_have_been_have_the_chances_of_the_model():
    sites = {name: np.repeat(x, 3000, 0) for name, x in draws_of(MODEL, DATA, num=1).items()}
    again = np.asarray(MODEL.replicate(sites, DATA, key=KEY))
    assert again.shape == (3000, DATA.num_ratings)
    edges = np.concatenate([[-np.inf], sites["cut"][0], [np.inf]])
    u = sites["worth"][0][DATA.item] + sites["taste"][0][DATA.agent, 0]
    chances = np.diff(logit.cdf(edges[:, None] - u), axis=0)
    found = (again[None] == np.arange(1, 6)[:, None, None]).mean(1)
    np.testing.assert_allclose(found, chances, atol=5 * np.sqrt(0.25 / 3000))


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({}, "say either `agents=`"),
        ({"agents": 2, "same": True}, "say either `agents=`"),
        ({"agents": 2, "items": 3}, "`items` must be left out"),
        ({"agents": 0}, "`agents` must be at least 1, got 0"),
    ],
)
def test_bad_worlds_are_refused_by_name(where, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        MODEL.worlds(draws_of(MODEL, DATA), DATA, **where)


# What the data can tell.

GOOD = np.array([[1, 2, 5], [2, 3, 4], [1, 4, 5], [3, 5, 2]], float)


def stars(ratings, **more):
    return RatingData(ratings, **({"steps": range(1, 6), "items": ("a", "b", "c")} | more))


def test_good_data_need_no_note():
    assert MODEL.identify(stars(GOOD)) == ()


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (stars(np.minimum(GOOD, 4)), "Nobody used the steps 5 of arrays: only the prior says where their cuts lie; leave"),
        (stars(np.c_[GOOD[:, :2], [5, 5, 5, NAN]]), "Items `c` have no rating but 5, the highest that was given"),
        (stars(np.c_[GOOD[:, :2], [1, 1, 1, 1]]), "Items `c` have no rating but 1, the lowest that was given"),
        (stars(np.c_[GOOD[:, :2], np.full(4, NAN)]), "Items `c` were rated by nobody: only the prior"),
        (stars(np.r_[GOOD, [[NAN] * 3]]), "Agents `4` rated nothing"),
        (
            stars([[1, 4, NAN], [5, 2, NAN], [NAN, NAN, 3], [NAN, NAN, 2]]),
            "The items fall into 2 groups that nobody rated across",
        ),
        (stars(np.where(np.eye(9, 3) + np.eye(9, 3, -3) + np.eye(9, 3, -6), 1 + np.arange(27).reshape(9, 3) % 5, NAN)),
         "Nobody gave more than 1 rating, and people differ in 1 way"),
    ],
)  # fmt: skip
def test_what_only_the_prior_decides_is_noted(data, note):
    assert any(n.startswith(note) for n in MODEL.identify(data)), MODEL.identify(data)


def with_attributes(values, names=("price",)):
    return stars(GOOD, attributes=values, columns=names)


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (MODEL, RatingData(GOOD / 5), "arrays has no `steps`: say which ratings one can give"),
        (MODEL, None, "`data` must be `RatingData`; got NoneType"),
        (MODEL, stars([[1, 2, 5, 5, 4]], items=range(5)), "arrays has ratings of one agent only"),
        (MODEL, stars([[1], [2], [2], [5], [4]], items=("a",)), "arrays has ratings of one item only"),
        (BY_PRICE, stars(GOOD), "arrays has no item attribute ['price']; it has []: add it with `described`"),
        (BY_PRICE, with_attributes([[2.0], [2.0], [2.0]]), "arrays: attribute `price` is the same for every item"),
        (
            OrderedRatings(("price", "tax")),
            with_attributes([[1, 2], [2, 4], [4, 8]], ("price", "tax")),
            "arrays: attributes `price`, `tax` are collinear",
        ),
    ],
)
def test_data_that_cannot_tell_are_refused_by_name(model, data, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        model.identify(data)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: OrderedRatings(prior_scale=0.0), "`prior_scale` must be positive, got 0.0"),
        (lambda: OrderedRatings(spread_scale=-1.0), "`spread_scale` must be positive"),
        (lambda: OrderedRatings(evenness=np.inf), "`evenness` must be positive"),
        (lambda: OrderedRatings(("price", "price")), "`attributes` names ['price'] twice"),
    ],
)
def test_bad_models_are_refused_by_name(build, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build()


# Written and read.


def test_the_model_is_written_and_read():
    model = OrderedRatings(("price", "size"), correlated=False, prior_scale=2.0, spread_scale=1.0, evenness=2.0)
    again = OrderedRatings.from_spec(json.loads(json.dumps(model.to_spec())))
    assert again == model
    assert hash(again) == hash(model)
    with pytest.raises(ValueError, match="unknown keys"):
        OrderedRatings.from_spec({**model.to_spec(), "colour": 1})
    with pytest.raises(ValueError, match="the specification is of model 'CommonLaw'"):
        OrderedRatings.from_spec(CommonLaw("power").to_spec())


def test_numbers_have_names_and_the_units_of_the_data():
    sites = draws_of(BY_PRICE, PRICED)
    found = BY_PRICE.scalars(sites, PRICED)
    assert list(found)[:5] == ["worth[0]", "worth[1]", "worth[2]", "worth[3]", "cut[1|2]"]
    np.testing.assert_allclose(found["spread[price]"], sites["spread"][:, 1] / PRICED.attributes.std())
    np.testing.assert_allclose(found["correlation[generosity,price]"], sites["correlation"][:, 1, 0])
    coords, dims = BY_PRICE.coords(PRICED), BY_PRICE.dims()
    for name in sites:
        assert tuple(len(coords[d]) for d in dims[name]) == sites[name].shape[1:]


@pytest.mark.parametrize("module", ["ordered", "ordered_worlds", "_steps"])
def test_examples_run(module):
    names = {"np": np, "jnp": jnp, "jax": jax}
    found = doctest.testmod(importlib.import_module(f"fairhand.models.ratings.{module}"), extraglobs=names)
    assert found.failed == 0
    assert found.attempted > 0


# Recovery.


@pytest.mark.slow
@pytest.mark.usefixtures("relaxed_ranks")
def test_what_made_the_ratings_is_recovered():
    from numpyro.infer import MCMC, NUTS

    data = simulated(people=200, items=8, attributes=True, seed=11)
    kernel = NUTS(BY_PRICE.numpyro_model)
    with jax.enable_x64(True):
        run = MCMC(kernel, num_warmup=300, num_samples=400, num_chains=2, chain_method="vectorized", progress_bar=False)
        run.run(KEY, *BY_PRICE.arguments(data))
        sites = {name: np.asarray(x) for name, x in run.get_samples().items()}
    found = BY_PRICE.scalars(sites, data)
    truth = {f"worth[{j}]": x for j, x in enumerate(np.linspace(-1, 1, 8))}
    truth |= dict(zip([f"cut[{b}]" for b in BY_PRICE.boundaries(data)], [-2.0, -0.5, 0.5, 2.0], strict=True))
    truth |= {"spread[generosity]": 1.0, "spread[price]": 0.5 / data.attributes.std()}
    truth["correlation[generosity,price]"] = 0.0
    assert set(truth) == set(found)
    for name, x in found.items():
        assert abs(x.mean() - truth[name]) < 3.5 * x.std(), name
    assert all(found[f"worth[{j}]"].std() < 0.3 for j in range(8))  # and the data said something
