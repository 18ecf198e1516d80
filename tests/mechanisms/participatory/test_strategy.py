"""Who gains by lying: never about inequality where values are known, but about values, although the paper says otherwise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fairhand as fh
from fairhand.mechanisms.participatory import (
    CappedSecondPrice,
    ExternalityPricing,
    Participatory,
    SocialLies,
    TruthfulInSocialPreferences,
    TruthfulInValues,
    Utilitarian,
    deviation_regret,
    society,
)
from fairhand.mechanisms.reports import Scalings
from fairhand.models import Independent, Uniform

WORKED = ([[1.0], [0.5]], 0.1, 0.1, 0)


def test_the_worked_example_of_saying_less_than_the_truth():
    found = deviation_regret(*WORKED, reports=[[0.76], [0.9], [0.7]])
    assert found.truthful == pytest.approx(0.3, abs=1e-12)
    assert found.best == pytest.approx(0.324, abs=1e-12)
    assert found.regret == pytest.approx(0.024, abs=1e-12)
    assert found.report.tolist() == [0.76]


def test_the_search_comes_close_to_the_supremum():
    # She wins down to a report of 0.5 / r = 0.75, and pays 0.5 + 0.1 of her report: at most 0.325.
    found = deviation_regret(*WORKED)
    assert 0.3249 < found.best <= 0.325 + 1e-9
    assert found.report == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_no_lie_about_inequality_pays_where_values_are_known(seed):
    draw = np.random.default_rng(seed)
    n, m = draw.integers(2, 4), draw.integers(1, 4)
    values, alpha, beta = draw.random((n, m)), draw.uniform(0, 0.4, n), draw.uniform(0, 0.3, n)
    reports = np.concatenate([draw.uniform(0, 0.5, (40, 2)), draw.uniform(-0.1, 2, (20, 2))])
    rule = ExternalityPricing(Participatory(agent_weights=draw.uniform(0.5, 2, n)))
    for how in (None, rule):
        found = deviation_regret(values, alpha, beta, 0, space="social", reports=reports, rule=how)
        assert 0 <= found.regret <= 1e-6 * values.max(0).sum()


def test_the_search_over_inequality_finds_nothing_there_and_much_without_payments():
    assert deviation_regret(*WORKED, space="social").regret <= 1e-9
    free = deviation_regret([[1.0], [0.5]], 0.1, 0.1, 1, space="social", rule=Participatory())
    assert free.regret > 0.1  # who claims to mind being behind gets an equal share


def test_scaled_reports_break_the_promise_so_it_is_not_made():
    # The rule halves what people say: who doubles it gets the decision right for herself.
    rule = ExternalityPricing(Participatory(0.5))
    found = deviation_regret([[1.0], [0.5]], [0.05, 0.35], 0.05, 1, space="social", rule=rule)
    assert found.regret > 1e-3
    assert not any(isinstance(p, TruthfulInSocialPreferences) for p in rule.promises)
    assert any(isinstance(p, TruthfulInSocialPreferences) for p in ExternalityPricing().promises)
    for silent in (Participatory(), Utilitarian(), CappedSecondPrice(0.2)):
        assert not any(p.about_incentives for p in silent.promises)


@pytest.mark.parametrize("items", [1, 2])
def test_nobody_gains_outside_the_interval_of_proposition_c_1(items):
    draw = np.random.default_rng(items)
    cap = 0.2
    for _ in range(4):
        values, aversion = draw.random((2, items)), draw.uniform(0, cap, 2)
        r = (1 - aversion[0] - cap) / (1 + aversion[0] + cap)
        grid = draw.uniform(0, 3, (60, items)) * values[0]
        rule = CappedSecondPrice(cap)
        inside = deviation_regret(
            values, aversion, aversion, 0, rule=rule, reports=np.clip(grid, r**2 * values[0], values[0] / r**2)
        )
        anywhere = deviation_regret(values, aversion, aversion, 0, rule=rule, reports=grid)
        assert anywhere.best <= inside.best + 1e-9


def test_many_societies_are_searched_one_by_one():
    values = np.array([[[1.0], [0.5]], [[2.0], [1.0]]])
    found = deviation_regret(values, 0.1, 0.1, 0, reports=[[0.76], [1.52]])
    np.testing.assert_allclose(found.regret, [0.024, 0.048], atol=1e-12)
    assert found.report.shape == (2, 1)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"agent": 2}, "agent"),
        ({"agent": True}, "agent"),
        ({"space": "money"}, "space"),
        ({"reports": [[1.0, 2.0, 3.0]]}, "reports"),
        ({"reports": [[-1.0]]}, "reports"),
        ({"rule": "none"}, "rule"),
    ],
)
def test_bad_questions_are_refused_by_name(wrong, name):
    asked = {"agent": 0} | wrong
    with pytest.raises(ValueError, match=f"`{name}`"):
        deviation_regret([[1.0], [0.5]], 0.1, 0.1, **asked)


def test_the_audit_keeps_the_promise_and_refutes_truth_in_values(key):
    world = Independent(Uniform(), agents=2, options=1, alpha=np.array(0.1), beta=np.array(0.1))
    few = SocialLies(np.array([[0.0, 0.0], [0.4, 0.1], [0.1, 0.4]]))
    found = fh.audit(
        ExternalityPricing(),
        world,
        key=key,
        populations=12,
        also=[TruthfulInValues(Scalings((0.76, 0.9))), TruthfulInSocialPreferences(few)],
    )
    assert found.ok
    assert not found.finding("truthful in social preferences when values are known").refuted
    assert found.finding("truthful in values").refuted
    assert found.finding("truthful in values").verdict == "does not hold (never promised)"
    assert "promises nothing about incentives" in repr(fh.audit(Participatory(), world, key=key, populations=2))


def test_lies_that_no_rule_takes_count_as_the_truth():
    people = society([[1.0], [0.5]], [-0.2, 0.1], [0.3, 0.1])
    lies = SocialLies(np.array([[-0.5, 0.1], [0.0, 0.2]]))
    np.testing.assert_allclose(lies.lie(people, jnp.array(0), jnp.array(0)).alpha, people.alpha, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda i: lies.lie(people, jnp.array(0), i).beta)(1), [0.2, 0.1], rtol=1e-6)
