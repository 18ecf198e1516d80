"""Names, arguments and fields that others build on: changing one of these breaks them."""

import dataclasses
import inspect

import jax
import numpy as np
import pytest

from fairhand import models
from fairhand.mechanisms import metrics, picking

ARGUMENTS = {
    models.Uniform: "low=0.0, high=1.0",
    models.Power: "exponent",
    models.Beta: "a, b",
    models.Mixture: "weights, laws",
    models.TruncatedExponential: "rate, high=1.0",
    models.TruncatedNormal: "loc, scale, low, high",
    models.TruncatedLogNormal: "loc, scale, low, high",
    models.Exponential: "rate=1.0",
    models.Empirical: "samples",
    models.PiecewiseLinear: "levels, values",
    picking.PickR: "r=None, *, quotas=None, order=None",
    picking.QuantileThreshold: "s, law",
    picking.Picking: "items, picker, *, menu=None, size=None",
    picking.Exchange: "first, second",
    picking.PickingExchange: "components",
    picking.Ranking: "",
    picking.WeightedRanking: "laws, weights=None",
    picking.WelfareMax: "weights=None",
    picking.kertz_beta: "method='integral'",
    picking.hill_kertz: "n",
    picking.distribution_free_r: "n",
    picking.two_agent_tight: "",
    picking.tail_curve: "s, t",
    picking.worst_case_ratio: "s",
    picking.optimal_pick: "law, n",
    picking.asymptotics: "r, law",
    picking.threshold_welfare: "s, law, values=None",
    picking.expected_welfare: "mechanism, law, items, agents=None, *, smooth=False",
    picking.interim: "mechanism, agents, items",
    picking.two_agent_ef: "law, items, schedule=None",
    picking.equal_split_ef: "law, n, eps=None",
    picking.correlated_two_agent: "law_1, law_2, eps=0.01, joint=None",
    picking.equalising_weights: "laws, method='newton', *, key=None",
    picking.choose_r: "laws, by='welfare', confidence=0.95, slack=0.001",
    picking.pick_from_stopping_rule: "z",
    picking.exchange_welfare: "l, k, q",
    picking.allocate_stream: "mechanism, row, agents, items",
    picking.audit_dsic: "mechanism, vectors, agents=2, reports=None",
    picking.audit_bic: "mechanism, values, agents=2, agent=0, *, law=None, draws=0, key=None",
    metrics.pareto_factor: "values, allocation, weights=None",
}


@pytest.mark.parametrize("thing", ARGUMENTS, ids=lambda thing: thing.__name__)
def test_arguments_keep_their_names_order_and_defaults(thing):
    found = inspect.signature(thing).parameters.values()
    plain = [p.replace(annotation=p.empty) for p in found]
    said = str(inspect.Signature(plain)).strip("()")
    assert said == ARGUMENTS[thing]


def test_the_worst_case_family_has_its_own_default():
    found = inspect.signature(models.WorstCaseFamily).parameters
    assert list(found) == ["p", "delta", "q"]
    assert found["q"].default == pytest.approx(2 - np.sqrt(2))


LAW = models.Uniform(0.2, 1.0)
POSTERIOR = models.Uniform(np.array([0.1, 0.2, 0.3]), np.array([1.0, 1.0, 1.0]))
FIELDS = {
    "distribution_free_r": (lambda: picking.distribution_free_r(3), "r s guarantee quantiles mechanism"),
    "worst_case_ratio": (lambda: picking.worst_case_ratio([0.3, 1.0]), "value quantile"),
    "optimal_pick": (lambda: picking.optimal_pick(LAW, 3), "values s r ratio mechanism"),
    "asymptotics": (lambda: picking.asymptotics([0.3, 0.7], LAW), "s welfare ratio margins"),
    "two_agent_ef": (
        lambda: picking.two_agent_ef(LAW, 10_000),
        "r category surplus window guarantee ratio margins mechanism",
    ),
    "equal_split_ef": (lambda: picking.equal_split_ef(LAW, 3), "r eps eps_max ratio margins mechanism"),
    "correlated_two_agent": (
        lambda: picking.correlated_two_agent(LAW, models.Uniform()),
        "order tau r share mechanism",
    ),
    "equalising_weights": (
        lambda: picking.equalising_weights([LAW, models.Uniform()]),
        "weights geometric win_probabilities residual",
    ),
    "choose_r": (
        lambda: picking.choose_r(POSTERIOR),
        "r value perfect_information prior_free envy_free_probability own_best mechanism",
    ),
    "pick_from_stopping_rule": (lambda: picking.pick_from_stopping_rule([0.3, 0.7]), "r s mechanism"),
    "exchange_welfare": (lambda: picking.exchange_welfare(1, 1, 0.5), "welfare tau"),
    "allocate_stream": (
        lambda: picking.allocate_stream(picking.Ranking(), lambda i: np.arange(3.0) + i, 2, 3),
        "owner utility",
    ),
    "audit_dsic": (
        lambda: picking.audit_dsic(picking.Ranking(), np.eye(3)),
        "checked profitable max_gain witness",
    ),
    "audit_bic": (
        lambda: picking.audit_bic(picking.Ranking(), [0.9, 0.5, 0.1]),
        "checked profitable max_gain witness truthful standard_error",
    ),
    "pareto_factor": (lambda: metrics.pareto_factor(np.eye(2), np.array([0, 1])), "factor weights certificate"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_results_have_their_fields(name):
    call, fields = FIELDS[name]
    found = call()
    assert set(fields.split()) <= {f.name for f in dataclasses.fields(found)} | set(dir(type(found)))
    assert not isinstance(found, tuple)
    if "mechanism" in fields:
        rule = found.mechanism
        assert rule.allocate(np.ones((rule.agents, 30))).shares.sum() == 30


def test_the_promises_of_each_rule():
    names = lambda rule: {p.name for p in rule.promises} & {"DSIC", "BIC"}
    halves = picking.PickR(0.5)
    components = [picking.Picking([0], 0, size=1), picking.Exchange([1], [2])]
    for rule in [halves, picking.two_agent_tight(), *components, picking.PickingExchange(components)]:
        assert names(rule) == {"DSIC"}
    for rule in [picking.Ranking(), picking.WeightedRanking([LAW, LAW])]:
        assert names(rule) == {"BIC"}
    for rule in [picking.WelfareMax(), picking.QuantileThreshold([0.5, 1.0], LAW)]:
        assert names(rule) == set()


@pytest.mark.slow
def test_ten_lines():
    law = models.Beta(2.0, 5.0)
    best = picking.optimal_pick(law, 3)
    safe = picking.distribution_free_r(3)
    rule = picking.equal_split_ef(law, 3).mechanism
    bids = law.sample((3, 600), key=jax.random.key(0))
    owner = rule.allocate(bids).shares.argmax(-2)
    margins = picking.asymptotics(best.r, law).margins
    grid = np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    assert picking.audit_dsic(rule, grid, agents=3).profitable == 0
    assert owner.shape == (600,)
    assert margins.shape == (3, 3)
    assert safe.guarantee < float(best.ratio) < 1
    assert safe.guarantee == pytest.approx(0.8187, abs=1e-4)
