"""Choice under a budget: the sum over costs against integration, the model against the logit, and who comes by it."""

import doctest
import importlib
import json
import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
from jax.test_util import check_grads
from numpyro.infer.util import log_density

from fairhand.inference import Posterior, fit
from fairhand.models import Discrete, Items, Mixture, PiecewiseLinear, TruncatedNormal, Uniform, budget_logit
from fairhand.models.choice import BudgetLogit, ChoiceData, ConditionalLogit
from fairhand.models.choice._over_budgets import budget_steps, log_probability_over_budgets
from helpers import assert_close

BUNDLES = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [1, 1, 1]])
PRICE = np.array([0.45, 0.48, 0.5])  # costs 0, .45, .48, .5, .93, .95, 1.43
WORTH = np.array([0.0, 0.4, -0.3, 0.9, 1.2, 0.5, 3.0])


def by_quadrature(worth, cost, eps, density) -> np.ndarray:
    """The definition: integrate the logit of the affordable set over budgets, between the costs."""
    knots = np.unique([1 - eps, 1.0, *cost[(cost > 1 - eps) & (cost < 1)]])
    logit = lambda b: np.where(cost <= b, np.exp(worth), 0) / np.exp(worth)[cost <= b].sum()
    one = lambda q: sum(
        scipy.integrate.quad(lambda b: logit(b)[q] * density(b), lo, hi, epsabs=1e-13)[0]
        for lo, hi in zip(knots[:-1], knots[1:], strict=True)
    )
    return np.array([one(q) for q in range(len(cost))])


@pytest.mark.parametrize("eps", [0.1, 1.0])
def test_the_sum_over_costs_is_the_integral_over_budgets(eps, dtype):
    expected = by_quadrature(WORTH, BUNDLES @ PRICE, eps, lambda b: 1 / eps)
    found = budget_logit(jnp.asarray(WORTH, dtype), BUNDLES, jnp.asarray(PRICE, dtype), eps)
    assert found.dtype == dtype
    assert_close(found, expected, loosen=30)
    assert found[-1] == 0  # dearer than any budget


@pytest.mark.slow
def test_other_laws_are_integrated_too():
    law = TruncatedNormal(0.9, 0.1, 0.5, 1.0)
    with jax.enable_x64(True):
        expected = by_quadrature(WORTH, BUNDLES @ PRICE, 0.5, lambda b: float(law.density(b)))
        np.testing.assert_allclose(budget_logit(WORTH, BUNDLES, PRICE, 0.5, law), expected, atol=1e-9)
        even = budget_logit(WORTH, BUNDLES, PRICE, 0.2)
        np.testing.assert_allclose(budget_logit(WORTH, BUNDLES, PRICE, 0.2, Uniform(0.8, 1.0)), even, atol=1e-12)

        class Even:  # any object with a cdf
            def cdf(self, x):
                return jnp.clip((x - 0.8) / 0.2, 0, 1)

        np.testing.assert_allclose(budget_logit(WORTH, BUNDLES, PRICE, 0.2, Even()), even, atol=1e-10)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_a_budget_equal_to_a_cost_buys_in_any_order_of_summation(order, dtype):
    price = np.array([0.1, 0.2, 0.6])  # 0.1 + 0.2 + 0.6 is not 0.6 + 0.1 + 0.2
    total = float(np.asarray(sum(price[order].astype(dtype)), dtype))
    found = budget_logit(np.zeros(2, dtype), [[0, 0, 0], [1, 1, 1]], price.astype(dtype), 0.5, Discrete([total], [1.0]))
    np.testing.assert_allclose(found, [0.5, 0.5], rtol=1e-6)


def test_infeasible_bundles_take_nothing_and_hold_nothing_back(dtype):
    worth = jnp.asarray(WORTH, dtype).at[jnp.array([0, 4])].set(-jnp.inf)
    keep = np.array([1, 2, 3, 5, 6])
    found = budget_logit(worth, BUNDLES, PRICE.astype(dtype), 0.3)
    assert_close(found[keep], budget_logit(worth[keep], BUNDLES[keep], PRICE.astype(dtype), 0.3), loosen=5)
    assert np.all(found[jnp.array([0, 4])] == 0)
    slope = jax.jit(jax.jacrev(budget_logit, (0, 2)))(worth, BUNDLES, jnp.asarray(PRICE, dtype), 0.3)
    assert all(np.all(np.isfinite(s)) for s in slope)
    # Nothing to be had below a cost: the chances are those of a budget that buys anything.
    alone = budget_logit(np.zeros(2, dtype), [[1], [2]], np.array([0.9], dtype), 0.2)
    np.testing.assert_allclose(alone, [0.5, 0.0], rtol=1e-5)


@pytest.mark.slow
def test_derivatives_match_finite_differences():
    with jax.enable_x64(True):
        law = lambda a: TruncatedNormal(a[1], 0.1, 0.3, 1.0)
        fn = jax.jit(lambda v, p, a: budget_logit(v, BUNDLES, p, a[0], None) + budget_logit(v, BUNDLES, p, 0.7, law(a)))
        at = (jnp.asarray(WORTH), jnp.asarray(PRICE), jnp.array([0.3, 0.8]))
        check_grads(fn, at, order=1, modes=("fwd", "rev"), rtol=1e-5)


def test_utilities_far_apart_neither_overflow_nor_vanish():
    with jax.enable_x64(True):
        menu, price = [[0, 0], [1, 0], [0, 1]], np.array([0.9, 0.95])
        found, slope = jax.value_and_grad(lambda v: budget_logit(v, menu, price, 0.2)[1])(jnp.array([-900.0, 0, 900]))
        np.testing.assert_allclose(found, 0.25, rtol=1e-12)  # budgets from 0.9 to 0.95
        assert np.all(np.isfinite(slope))


def test_batches_jit_and_vmap_agree():
    worth = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    price = np.random.default_rng(1).uniform(0.2, 0.6, (4, 3)).astype(np.float32)
    together = budget_logit(worth, BUNDLES, price, 0.5)
    fn = lambda v, p: budget_logit(v, BUNDLES, p, 0.5)
    assert_close(jax.jit(jax.vmap(fn))(worth, price), together, loosen=5)
    assert_close(jnp.stack([fn(v, p) for v, p in zip(worth, price, strict=True)]), together, loosen=5)
    assert_close(together.sum(1), np.ones(4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"utility": [0.0, 1.0]}, "`utility` is [..., bundles]"),
        ({"price": [0.5]}, "`price` must have one entry for each of the 3 goods"),
        ({"price": [0.5, -0.1, 0.5]}, "`price` must be finite and not negative"),
        ({"utility": [np.nan] * 7}, "`utility` must be finite, or -inf"),
        ({"eps": 0.0}, "`eps` must be in (0, 1]"),
        ({"law": 3}, "`law` must have a method `cdf(x)`"),
        ({"law": Uniform(0.5, 1.0)}, "`law` must lie on [1 - eps, 1] = [0.8, 1]"),
        ({"law": Uniform(0.9, 1.5)}, "`law` must lie on [1 - eps, 1]"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    given = {"utility": WORTH, "bundles": BUNDLES, "price": PRICE, "eps": 0.2, "law": None, **change}
    with pytest.raises(ValueError, match=re.escape(message)):
        budget_logit(**given)


# The model.

LOGIT = ConditionalLogit("size", base="none")
MODEL = BudgetLogit(LOGIT, cost="price", eps=0.2)
TRUTH = np.array([1.0, 0.5, -0.5])


def simulate(n: int = 300, seed: int = 0, **fields: Any) -> ChoiceData:
    """Three goods-like alternatives, the last free; budgets uniform on [0.8, 1], kept as a column."""
    rng = np.random.default_rng(seed)
    size, price = rng.normal(size=(n, 3)), rng.uniform(0.7, 1.1, (n, 3)) * [1, 1, 0]
    budget = rng.uniform(0.8, 1.0, n)
    worth = size * TRUTH[0] + np.array([*TRUTH[1:], 0]) + rng.gumbel(size=(n, 3))
    chosen = np.where(price <= budget[:, None], worth, -np.inf).argmax(1)
    columns = np.stack([size, price, np.broadcast_to(budget[:, None], (n, 3))], -1)
    return ChoiceData(columns, chosen, ("a", "b", "none"), ("size", "price", "budget"), **fields)


DATA = simulate()
SITES = {"coefficient": np.array([[0.7, 0.2, -0.4], [-1.0, 2.0, 0.3]])}


def test_log_densities_are_the_integral(dtype):
    sites = {"coefficient": jnp.asarray(SITES["coefficient"], dtype)}
    found = MODEL.log_densities(sites, DATA)
    assert found.dtype == dtype
    design = LOGIT.design(DATA)
    for d, beta in enumerate(SITES["coefficient"]):
        for s in range(8):
            expected = by_quadrature(design[s] @ beta, DATA.column("price")[s], 0.2, lambda b: 5.0)
            np.testing.assert_allclose(np.exp(found[d, s]), expected[DATA.chosen[s]], rtol=1e-5)
            np.testing.assert_allclose(MODEL.choice_probabilities(sites, DATA)[d, s], expected, rtol=1e-5, atol=1e-7)


def test_the_likelihood_and_the_function_are_one(dtype):
    rng = np.random.default_rng(3)
    worth, price = rng.normal(size=(20, 6)), rng.choice([0.3, 0.5, 0.9, 0.95, 1.2], (20, 6))  # with ties
    price[:, 0] = 0
    can = rng.random((20, 6)) < 0.8
    can[:, 0] = True
    with jax.enable_x64(dtype == np.float64):
        v = jnp.asarray(np.where(can, worth, -np.inf), dtype)
        by = budget_logit(v, np.eye(6), jnp.asarray(price, dtype), 0.2)
        steps = budget_steps(price, np.clip((1 - price) / 0.2, 0, 1))
        log = log_probability_over_budgets(jnp.asarray(worth, dtype), can, *steps)
    np.testing.assert_allclose(np.exp(log), by, rtol=2e-5, atol=1e-6)


def density(model: Any, arguments: tuple, beta: Any) -> float:
    """Log of prior times likelihood."""
    with jax.numpy_rank_promotion("allow"):
        fn = lambda b, rest: log_density(model.numpyro_model, rest, {}, {"beta": b})[0]
        return float(jax.jit(fn)(beta, tuple(jnp.asarray(a) for a in arguments)))


def test_with_observed_budgets_it_is_the_logit_on_the_affordable_set():
    model = BudgetLogit(LOGIT, cost="price", budget="budget")
    can = DATA.column("price") <= DATA.column("budget")
    restricted = ChoiceData(DATA.attributes, DATA.chosen, DATA.alternatives, DATA.columns, available=can)
    with jax.enable_x64(True):
        np.testing.assert_allclose(model.log_densities(SITES, DATA), LOGIT.log_densities(SITES, restricted), rtol=1e-12)
        scale = LOGIT.arguments(restricted)[-1]
        z = jnp.array([0.3, -0.2, 0.5])
        ours = density(model, (*model.arguments(DATA)[:4], scale, *model.arguments(DATA)[5:]), z)
        theirs = density(LOGIT, LOGIT.arguments(restricted), z)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert model.identify(DATA) == ()


def test_weights_count_situations_several_times():
    twice = np.where(np.arange(300) < 50, 2, 1)
    again = np.repeat(np.arange(300), twice)
    z = jnp.array([0.3, -0.2, 0.5])
    weighted = DATA.changed(weight=twice.astype(float))
    repeated = ChoiceData(DATA.attributes[again], DATA.chosen[again], DATA.alternatives, DATA.columns)
    scale = MODEL.arguments(DATA)[4]
    value = [
        density(MODEL, (*MODEL.arguments(d)[:4], scale, *MODEL.arguments(d)[5:]), z) for d in (weighted, repeated, DATA)
    ]
    np.testing.assert_allclose(value[0], value[1], rtol=1e-5)
    assert abs(value[0] - value[2]) > 10


@pytest.fixture(scope="module")
def posterior():
    with jax.numpy_rank_promotion("allow"):
        return fit(MODEL, DATA, method="map", draws=60, progress=False)


@pytest.mark.slow
def test_ignoring_budgets_is_wrong_and_the_model_is_not(posterior):
    """The free alternative looks liked when it is only all that one can pay for."""
    large = simulate(3000, seed=1)
    right = fit(MODEL, large, method="map", draws=50, progress=False)
    naive = fit(LOGIT, large, method="map", draws=50, progress=False)
    z = lambda found: [(found.mean[n] - t) / found.sd[n] for n, t in zip(found.names, TRUTH, strict=True)]
    assert np.abs(z(right)).max() < 3.5
    assert np.min(z(naive)) < -6


@pytest.mark.slow
def test_posterior_survives_a_file(posterior, tmp_path):
    posterior.save(tmp_path / "p.nc")
    again = Posterior.load(tmp_path / "p.nc")
    assert again.model == MODEL
    assert again.mean == posterior.mean
    np.testing.assert_allclose(again.log_likelihood(), posterior.log_likelihood())


@pytest.mark.parametrize(
    "model",
    [
        MODEL,
        BudgetLogit(LOGIT, "price", law=Uniform(0.85, 0.95)),
        BudgetLogit(LOGIT, "price", eps=0.5, law=PiecewiseLinear([0.0, 1.0], [0.5, 1.0])),
        BudgetLogit(LOGIT, "price", law=Discrete([0.8, 1.0], [0.5, 0.5]), budget="budget"),
    ],
    ids=["uniform", "law", "knots", "observed"],
)
def test_spec_round_trip_through_json(model):
    again = BudgetLogit.from_spec(json.loads(json.dumps(model.to_spec())))
    assert again == model
    assert hash(again) == hash(model)
    assert again.numpyro_model == model.numpyro_model
    assert np.array_equal(again.afford(DATA), model.afford(DATA))


def test_atoms_of_the_law_buy_what_they_cost():
    at = np.sort(DATA.column("price")[:, 0])[100]
    model = BudgetLogit(LOGIT, "price", eps=0.3, law=Discrete([at, 1.0], [0.25, 0.75]))
    afford = model.afford(DATA)[:, 0]
    expected = np.select([DATA.column("price")[:, 0] <= at, DATA.column("price")[:, 0] <= 1], [1.0, 0.75])
    np.testing.assert_allclose(afford, expected, atol=1e-6)


def spoilt(**columns: Any) -> ChoiceData:
    values = DATA.attributes.copy()
    for name, (at, x) in columns.items():
        values[(*at, DATA.columns.index(name))] = x
    return DATA.changed(attributes=values)


FIRST = int(np.flatnonzero(DATA.chosen == 0)[0])


@pytest.mark.parametrize(
    ("data", "model", "message"),
    [
        (spoilt(price=((FIRST, 0), 1.5)), MODEL, f"`a` chosen in situation {FIRST} costs 1.5, more than any budget"),
        (
            spoilt(budget=((FIRST, slice(None)), 0.1)),
            BudgetLogit(LOGIT, "price", budget="budget"),
            f"`a` chosen in situation {FIRST} costs",
        ),
        (
            spoilt(budget=((7, 0), 0.1)),
            BudgetLogit(LOGIT, "price", budget="budget"),
            "`budget` of situation [7] is not",
        ),
        (spoilt(price=((7, 1), -0.5)), MODEL, "`price` of alternative `b` in situation 7 is -0.5: a cost is 0 or more"),
        (spoilt(price=((7, slice(None)), 0.9)), MODEL, "in situation [7] a budget may buy nothing at all"),
        (DATA, BudgetLogit(LOGIT, "cost"), "has no attribute `cost`"),
        (
            spoilt(price=((slice(None), slice(None)), np.array([0.0, 0.9, 0.0]))),
            BudgetLogit(ConditionalLogit(("size", "price"), constants=False), "price"),
            "a taste for dear alternatives cannot be told from small budgets",
        ),
        (DATA, BudgetLogit(ConditionalLogit(("size", "budget")), "price"), "Column `budget` does not vary"),
    ],
)
def test_data_that_do_not_fit_are_refused(data, model, message):
    data = (
        data
        if "any budget" in message or "costs" in message
        else data.changed(chosen=np.where(np.isin(np.arange(300), [7]), 2, data.chosen))
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        model.identify(data)


def test_notes_say_what_the_data_cannot():
    assert MODEL.identify(DATA) == ("The law of budgets is assumed, not learned: uniform on [0.8, 1].",)
    values = DATA.attributes.copy()
    values[..., 1] = [0.9, 0.95, 0.0]
    notes = MODEL.identify(DATA.changed(attributes=values))
    assert any("`price` is the same in all situations: tastes for dear alternatives" in n for n in notes)
    values[..., 1] = [0.1, 0.2, 0.0]
    assert any("Every budget buys everything" in n for n in MODEL.identify(DATA.changed(attributes=values)))
    rng = np.random.default_rng(0)
    values[..., 1] = rng.uniform(0.7, 1.0, (300, 3)) * [1, 0, 0] + [0, 2, 0]
    data = DATA.changed(attributes=values, chosen=np.where(DATA.chosen == 1, 2, DATA.chosen))
    notes = BudgetLogit(ConditionalLogit("size", constants=False), "price", eps=0.3).identify(data)
    assert any("No budget ever buys ['b']" in n for n in notes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eps": 1.5}, "`eps` must be in (0, 1]"),
        ({"law": Uniform(0.5, 1.0)}, "`law` must lie on [1 - eps, 1]"),
        ({"law": Mixture([0.5, 0.5], [Uniform(0.8, 0.9), Uniform(0.9, 1.0)])}, "`law` must have plain numbers"),
        ({"law": 3}, "`law` must be a law of `fairhand.models`"),
        ({"logit": ConditionalLogit("size", population_shares={"a": 0.5, "b": 0.5})}, "`population_shares` correct"),
    ],
)
def test_bad_models_are_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        BudgetLogit(**{"logit": LOGIT, "cost": "price", **arguments})
    with pytest.raises(ValueError, match="unknown keys"):
        BudgetLogit.from_spec({**MODEL.to_spec(), "colour": 1})


def test_replicates_have_the_models_shares(key):
    n = 2000
    sites = {"coefficient": np.tile(TRUTH, (n, 1)).astype(np.float32)}
    few = ChoiceData(DATA.attributes[:5], DATA.chosen[:5], DATA.alternatives, DATA.columns)
    drawn = np.asarray(MODEL.replicate(sites, few, key=key))
    share = np.asarray(MODEL.choice_probabilities({"coefficient": TRUTH[None]}, few))[0]
    found = np.stack([(drawn == j).mean(0) for j in range(3)], 1)
    assert np.abs((found - share) / np.sqrt(np.maximum(share * (1 - share), 1e-9) / n))[share > 0].max() < 4
    assert np.all(found[share == 0] == 0)


@eqx.filter_jit
def many(world, keys):
    return jax.vmap(lambda k: world.population(k).values)(keys)


@pytest.mark.parametrize("outside", [pytest.param(None, marks=pytest.mark.slow), "a"])
def test_same_people_took_the_best_they_could_pay_for(key, outside):
    world = MODEL.worlds({"coefficient": TRUTH}, DATA, same=True, supply=Items(), outside=outside)
    place = [DATA.alternatives.index(a) for a in world.options]
    chosen = np.array([place.index(c) for c in DATA.chosen])
    values = np.asarray(many(world, jax.random.split(key, 4000)))
    cheaper = (
        DATA.column("price")[:, place] <= np.maximum(DATA.column("price")[np.arange(300), DATA.chosen], 0.8)[:, None]
    )
    own = values[:, np.arange(300), chosen][..., None]
    assert np.all(np.where(cheaper[None], values, -np.inf) <= own)  # what any budget that pays for the choice can buy
    best = np.stack([(values.argmax(-1) == j) for j in range(3)], -1)
    error = best.mean(1).std(0) / np.sqrt(4000)
    assert np.abs((best.mean((0, 1)) - np.asarray(world.shares())) / error).max() < 4
    assert np.any(values.argmax(-1) != chosen)  # some would have liked what they could not pay for


@pytest.mark.slow
def test_simulated_people_are_strangers_again(key):
    """Choices drawn from the model, then errors given them: favourites are those of people without any budget."""
    large = simulate(20_000, seed=2)
    same = MODEL.worlds({"coefficient": TRUTH}, large, same=True, supply=Items())
    share = np.asarray(LOGIT.probabilities(TRUTH, large), float).mean(0)
    found = np.bincount(np.asarray(many(same, key[None]))[0].argmax(1), minlength=3) / 20_000
    assert np.abs((found - share) / np.sqrt(share * (1 - share) / 20_000)).max() < 4
    np.testing.assert_allclose(same.shares(), share, atol=0.01)
    taken = np.bincount(large.chosen) / 20_000
    assert np.abs((taken - share) / np.sqrt(share * (1 - share) / 20_000)).max() > 20  # budgets did bind


def test_worlds_of_a_posterior_have_draws(posterior, key):
    for where in ({"new": 7}, {"same": True}):
        world = posterior.world(draws=3, supply=Items(), **where)
        assert world.num == 3
        assert many(world, key[None])[0].shape == (7 if "new" in where else 300, 3)


@pytest.mark.parametrize("module", ["budget_demand", pytest.param("choice.budget", marks=pytest.mark.slow)])
def test_examples_run(module):
    names = {"np": np, "jnp": jnp, "jax": jax}
    found = doctest.testmod(importlib.import_module(f"fairhand.models.{module}"), extraglobs=names)
    assert found.failed == 0
    assert found.attempted > 0
