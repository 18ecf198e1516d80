"""What holds for numbers holds for tracers: lists of them, whole ones, bad ones, and one rule in both precisions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairhand.mechanisms import metrics, picking
from fairhand.models import Power, Uniform

LAW = Uniform()
BIDS = np.array([[3, 2, 1], [1, 2, 3]])


def test_lists_may_hold_tracers():
    np.testing.assert_allclose(jax.grad(lambda s: picking.threshold_welfare([s, 1.0], LAW))(0.3), 0.2, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(lambda r: picking.asymptotics([r, 1 - r], LAW).welfare)(0.3), 0.2, rtol=1e-5)
    shares = jax.jit(lambda r: picking.PickR([r, 1 - r]).allocate(BIDS).shares)(0.4)
    np.testing.assert_array_equal(shares, picking.PickR(0.4).allocate(BIDS).shares)


def test_bids_may_be_whole_numbers_under_jit():
    for rule in (picking.Ranking(), picking.PickR(0.4), picking.WelfareMax()):
        shares = jax.jit(lambda bids, rule=rule: rule.allocate(bids).shares)(jnp.asarray(BIDS))
        np.testing.assert_array_equal(shares, rule.allocate(BIDS).shares)


BAD = {
    "negative r": (lambda r: picking.PickR(r).allocate(BIDS).shares, [-0.1, 1.1], "`r` must not be negative"),
    "short r": (lambda r: picking.PickR(r).allocate(BIDS).shares, [0.5, 0.4], "must sum to 1"),
    "NaN in r": (lambda r: picking.asymptotics(r, LAW).welfare, [np.nan, 1.0], "must sum to 1"),
    "s at the end": (lambda s: picking.threshold_welfare(s, LAW), [0.5, 0.9], "`s` must lie in [0, 1] and end with 1"),
    "weights": (lambda w: picking.WelfareMax(w).allocate(BIDS).shares, [0.0, 1.0], "`weights` must be positive"),
    "eps of an equal split": (lambda e: picking.equal_split_ef(LAW, 3, e).r, 0.3, "`eps` must lie inside"),
    "eps of correlated agents": (lambda e: picking.correlated_two_agent(LAW, LAW, e).r, -0.1, "`eps` must be positive"),
    "category 1 too": (lambda a: picking.two_agent_ef(Power(a), 3).r, 0.5, "no item for an agent at 3 items"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_numbers_are_refused_when_the_program_runs(name):
    function, number, said = BAD[name]
    with pytest.raises(Exception) as refusal:  # noqa: PT011  the type is the run time's own
        jax.block_until_ready(eqx.filter_jit(function)(jnp.asarray(number)))
    assert said in str(refusal.value)


def test_default_weights_are_one_rule_in_both_precisions():
    """Ties at w = (1, 3/2) are decided by the index, and not by how the weights were rounded."""
    rule = picking.WeightedRanking([Uniform(0.5, 1.0), LAW])
    single = picking.interim(rule, 2, 3)
    with jax.enable_x64(True):
        np.testing.assert_allclose(single, picking.interim(rule, 2, 3), rtol=1e-6)


def test_the_two_category_rule_has_a_gradient_without_jit():
    slope = jax.grad(lambda a: picking.two_agent_ef(Power(a), 1000).window[0])(1.5)
    r_half = lambda a: 1 - 2 ** (-a / (a + 1))
    np.testing.assert_allclose(slope, (r_half(1.5 + 1e-5) - r_half(1.5 - 1e-5)) / 2e-5, rtol=1e-3)


def test_who_gets_nothing_is_said():
    with pytest.warns(UserWarning, match="get none of the 30 items"):
        picking.PickR([0.01, 0.99]).allocate(np.ones((2, 30)))


def test_a_temperature_is_positive():
    with pytest.raises(ValueError, match="`temperature` must be positive"):
        picking.Ranking().soften(0.0)


def test_one_item_has_a_pareto_factor():
    assert metrics.pareto_factor([[1.0], [2.0]], [0]).factor == pytest.approx(1.0)
