"""The algebra of objectives, and errors of any of them by the delta method."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rules.level import Level, given, surplus, worth

import fairhand as fh
from fairhand.mechanisms import Limit, ex_post, least, mean, metrics, needs_coins, of_rule, of_runs, ratio
from fairhand.mechanisms import standard_error as error_of
from fairhand.mechanisms.objective import has_surrogate, influence
from fairhand.models import Independent, TypeTable, Uniform
from helpers import assert_close

WORLD = Independent(Uniform(0.0, 1.6), 2, 3)


@pytest.fixture(scope="module")
def runs():
    return fh.play(Level(0.4), WORLD, jax.random.key(1), 64)


def level(rule):
    return rule.level


def test_objectives_form_sums_with_weights(runs):
    a, b = (float(mean(m)(runs)) for m in (surplus, worth))
    cases = {
        mean(surplus) + mean(worth): a + b,
        mean(surplus) - mean(worth): a - b,
        2 * mean(surplus) - 0.5 * mean(worth): 2 * a - 0.5 * b,
        mean(surplus) * 3: 3 * a,
        -mean(surplus): -a,
        mean(surplus) + 1: a + 1,
        1 - mean(surplus): 1 - a,
        sum([mean(surplus), mean(worth)]): a + b,
        ratio(surplus, worth): a / b,
        of_rule(level): 0.4,
        of_runs(lambda r: r.weight.sum()): 1.0,
        mean(surplus).named("gain"): a,
        mean(surplus).trained_as(mean(worth)): a,
    }
    for objective, value in cases.items():
        assert float(objective(runs)) == pytest.approx(value, rel=1e-5), objective.name


def test_what_is_trained_may_differ_from_what_is_judged_and_is_never_reported(runs):
    proxy = mean(surplus).trained_as(mean(worth))
    whole = (2 * proxy - mean(given)).named("all")
    a, b, c = (float(mean(m)(runs)) for m in (surplus, worth, given))
    assert float(whole(runs)) == pytest.approx(2 * a - c, rel=1e-5)
    assert float(whole.train(runs)) == pytest.approx(2 * b - c, rel=1e-5)
    assert has_surrogate(whole)
    assert has_surrogate(whole <= 1)
    assert not has_surrogate(mean(surplus) - mean(worth))


def test_comparisons_make_limits_of_either_direction(runs):
    upper, lower = mean(given) <= 0.5, mean(given) >= 0.3
    assert isinstance(upper, Limit)
    assert float(upper.excess(runs)) == pytest.approx(-0.1, abs=1e-6)
    assert float(lower.excess(runs)) == pytest.approx(-0.1, abs=1e-6)
    assert float((mean(given) >= 0.5).excess(runs)) == pytest.approx(0.1, abs=1e-6)
    assert upper.name == "given <= 0.5"
    assert lower.name == "-given <= -0.3"
    assert (mean(surplus) - 2 * mean(worth) + 1).name == "surplus - 2 worth + 1"
    assert (2 * (mean(surplus) - mean(worth))).name == "2 (surplus - worth)"


def test_coins_are_asked_for_only_where_something_is_judged_ex_post():
    late = mean(ex_post(metrics.ef1))
    assert needs_coins(late)
    assert needs_coins(1 - 2 * late.named("fair"))
    assert needs_coins(late <= 0.1)
    assert not needs_coins(mean(surplus) - of_rule(level))
    smooth = late.trained_as(mean(metrics.envy))
    assert needs_coins(smooth)
    assert not needs_coins(smooth, training=True)
    with pytest.raises(ValueError, match="needs `coins`"):
        late(fh.play(Level(0.4), WORLD, jax.random.key(0), 2))


def test_the_error_of_a_mean_is_its_textbook_error(runs, dtype):
    runs = jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, runs)
    each = np.asarray(runs.each(surplus))
    assert_close(error_of(mean(surplus), runs), each.std(ddof=1) / np.sqrt(each.size), loosen=10)
    assert_close(jnp.sum(influence(mean(surplus), runs)), 0.0, loosen=10)


def test_the_error_of_a_ratio_is_that_of_the_bootstrap(runs):
    top, bottom = (np.asarray(runs.each(m), float) for m in (surplus, worth))
    pick = np.random.default_rng(0).integers(0, top.size, (4000, top.size))
    bootstrap = (top[pick].mean(1) / bottom[pick].mean(1)).std()
    delta = float(error_of(ratio(surplus, worth), runs))
    assert delta == pytest.approx(bootstrap, rel=0.05)
    textbook = np.std(top - top.mean() / bottom.mean() * bottom, ddof=1) / bottom.mean() / np.sqrt(top.size)
    assert delta == pytest.approx(textbook, rel=1e-4)


def test_errors_of_sums_see_that_terms_share_populations(runs):
    each = np.asarray(runs.each(surplus) - 0.3 * runs.each(worth), float)
    error = each.std(ddof=1) / 8
    assert float(error_of(mean(surplus) - 0.3 * mean(worth) + 5, runs)) == pytest.approx(error, rel=1e-4)
    assert float(error_of(mean(surplus) - mean(surplus), runs)) == pytest.approx(0, abs=1e-9)
    product = of_runs(lambda r: mean(surplus)(r) ** 2)
    twice = 2 * float(mean(surplus)(runs)) * float(error_of(mean(surplus), runs))
    assert float(error_of(product, runs)) == pytest.approx(twice, rel=1e-4)


def test_closed_forms_and_exact_runs_have_no_error_and_a_single_run_has_none_to_show(runs):
    assert float(error_of(of_rule(level), runs)) == 0
    table = TypeTable(jnp.array([0.5, 0.5]), jnp.array([[1.0], [2.0]]), agents=2)
    exact = fh.play(Level(0.4), table)
    assert exact.exact
    assert float(error_of(mean(metrics.welfare), exact)) == 0
    assert float(mean(metrics.welfare)(exact)) == pytest.approx(0.4 * 2 * 1.5)
    assert np.isnan(float(error_of(mean(surplus), fh.play(Level(0.4), WORLD, jax.random.key(0), 1))))


def test_the_error_of_a_mean_covers_the_truth_as_often_as_it_should():
    """Value of a share 0.4 of U[0, 1.6]: 0.4 * 0.8 - 0.08."""

    def estimate(key):
        played = fh.play(Level(0.4), WORLD, key, 32)
        return mean(surplus)(played), error_of(mean(surplus), played)

    value, error = jax.jit(jax.vmap(estimate))(jax.random.split(jax.random.key(3), 400))
    covered = np.mean(np.abs(np.asarray(value) - 0.24) < 2 * np.asarray(error))
    assert 0.92 < covered < 0.98


def test_the_least_group_on_average_leaves_out_runs_it_is_not_in():
    table = TypeTable(jnp.array([0.5, 0.5]), jnp.array([[1.0], [3.0]]), agents=2)
    runs = fh.play(Level(0.5), table)
    by_group = np.asarray(runs.each(metrics.group_means(2)))
    assert np.isnan(by_group).any()
    assert float(least(metrics.group_means(2))(runs)) == pytest.approx(0.5)
    # Of four equally likely profiles one has nobody of the second type; the worst group is then the first or the second.
    assert float(mean(metrics.worst_group(2))(runs)) == pytest.approx((0.5 * 3 + 1.5) / 4)
