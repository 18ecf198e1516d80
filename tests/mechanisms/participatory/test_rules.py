"""The rules of the room: what they allocate and charge, inside and outside programs, and what certificates say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from fairhand.mechanisms import metrics
from fairhand.mechanisms.parameters import check_support, from_free, parameters, supports, to_free
from fairhand.mechanisms.participatory import (
    CappedSecondPrice,
    ExternalityPricing,
    Participatory,
    Utilitarian,
    dual_value,
    inequality,
    society,
    solve,
)
from fairhand.mechanisms.saved import rule_from_json, rule_to_json


def crowd(seed=0, n=4, m=3):
    draw = np.random.default_rng(seed)
    return society(draw.random((n, m)), draw.uniform(0, 0.4, n), draw.uniform(0, 0.3, n))


def valuations(u, alpha, beta):
    """By the definition, pair by pair."""
    n = len(u)
    gap = u[None] - u[:, None]  # [i, k]: how much more k has
    return u - (alpha * np.maximum(gap, 0).sum(1) + beta * np.maximum(-gap, 0).sum(1)) / max(n - 1, 1)


def weighted_optimum(values, alpha, beta, weights):
    """max sum_i w_i v_i by a program with a variable for each ordered pair: nothing of ours."""
    n, m = values.shape
    pairs = [(i, k) for i in range(n) for k in range(n) if i != k]
    cost = np.concatenate([-(weights[:, None] * values).ravel()] + [np.zeros(2 * len(pairs))])
    rows, most = [], []
    for r, (i, k) in enumerate(pairs):
        cost[n * m + r] = weights[i] * alpha[i] / (n - 1)
        cost[n * m + len(pairs) + r] = weights[i] * beta[i] / (n - 1)
        for sign, at in ((1.0, n * m + r), (-1.0, n * m + len(pairs) + r)):
            row = np.zeros(cost.size)
            row[k * m : (k + 1) * m], row[i * m : (i + 1) * m] = sign * values[k], -sign * values[i]
            row[at] = -1.0
            rows.append(row)
            most.append(0.0)
    given = np.zeros((m, cost.size))
    for j in range(m):
        given[j, j : n * m : m] = 1
    return -linprog(cost, np.array(rows), most, given, np.ones(m), method="highs").fun


def test_the_rule_is_the_solver_and_its_certificate_has_all_fields_of_the_solution():
    people = crowd()
    found = Participatory().allocate(people)
    best = solve(people.values, people.alpha, people.beta)
    proof = found.certificate
    assert proof.primal == pytest.approx(float(best.primal), rel=1e-9)
    assert bool(proof.solved)
    assert bool(proof.converged)
    assert proof.status == ""
    assert proof.method == best.method
    assert proof.gap == pytest.approx(proof.dual - proof.primal)
    assert proof.dual == pytest.approx(float(dual_value(proof.sigma, people.values)))
    np.testing.assert_allclose(proof.utilities, (people.values * found.shares).sum(1))
    assert metrics.certified("gap")(people, jax.tree.map(jnp.asarray, found)) == pytest.approx(proof.gap, abs=1e-7)


def test_strength_cap_default_mix_and_groups_shape_what_is_solved():
    people = society(crowd().values, [0.4, np.nan, 0.1, 0.3], [0.3, 0.2, np.nan, 0.0])
    rule = Participatory([0.5, 1.5], report_cap=0.35, benchmark_mix=0.2, default=(0.25, 0.15), groups=[0, 1, 1, 0])
    alpha = 0.8 * np.array([0.5 * 0.35, 1.5 * 0.25, 1.5 * 0.1, 0.5 * 0.3])
    beta = 0.8 * np.array([0.5 * 0.3, 1.5 * 0.2, 1.5 * 0.15, 0.0])
    best = solve(people.values, alpha, beta)
    assert rule.allocate(people).certificate.primal == pytest.approx(float(best.primal), rel=1e-9)
    assert abs(float(solve(people.values, alpha[::-1], beta).primal) - float(best.primal)) > 1e-4


@pytest.mark.parametrize("seed", range(4))
def test_weights_on_agents_are_alpha_and_beta_of_another_program(seed):
    people = crowd(seed)
    weights = np.random.default_rng(seed + 9).uniform(0.3, 2.0, 4)
    found = Participatory(agent_weights=weights).allocate(people)
    worth = weights @ valuations(found.certificate.utilities, people.alpha, people.beta)
    best = weighted_optimum(people.values, people.alpha, people.beta, weights)
    assert worth == pytest.approx(best, rel=1e-7)
    assert found.certificate.primal == pytest.approx(worth / weights.mean(), rel=1e-9)
    plain = Participatory().allocate(people)
    assert weights @ valuations(plain.certificate.utilities, people.alpha, people.beta) < best + 1e-9 - (
        1e-4 if seed else 0
    )


@pytest.mark.parametrize("mix", [0.0, 0.3, 1.0])
def test_a_mix_is_the_sum_of_both_objectives(mix):
    people = crowd(2)
    u = Participatory(benchmark_mix=mix).allocate(people).certificate.utilities
    both = lambda u: (1 - mix) * valuations(u, people.alpha, people.beta).sum() + mix * u.sum()
    for rule in (Utilitarian(), Participatory(), Participatory(0.5), Participatory(benchmark_mix=0.5)):
        assert both(rule.allocate(people).certificate.utilities) <= both(u) + 1e-9


def test_programs_and_batches_give_what_numbers_give():
    many = society(np.stack([crowd(s).values for s in range(3)]), crowd().alpha, crowd().beta)
    rule = ExternalityPricing(Participatory(0.7, caps=0.5, agent_weights=[1.0, 2.0, 1.0, 0.5]))
    known = rule.allocate(many)
    with jax.enable_x64(True):
        run = jax.jit(lambda p: jax.vmap(rule.allocate)(p))(many)
        assert bool(run.certificate.solved.all())
    np.testing.assert_allclose(run.certificate.primal, known.certificate.primal, rtol=1e-9)
    np.testing.assert_allclose(run.payments, known.payments, rtol=1e-6, atol=1e-9)
    one = rule.allocate(jax.tree.map(lambda x: x[1], many))
    np.testing.assert_allclose(one.payments, known.payments[1])


def test_a_bad_program_is_refused_on_numbers_and_unsolved_inside_a_program():
    people = society(crowd().values, -0.5, 0.1)
    with pytest.raises(ValueError, match="nonconcave"):
        Participatory().allocate(people)
    inside = jax.jit(lambda p: Participatory().allocate(p))(people)
    assert bool(jnp.isnan(inside.shares).all())
    assert not bool(inside.certificate.solved)
    assert "not solved" in inside.certificate.status


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"strength": -1.0}, "strength"),
        ({"report_cap": np.nan}, "report_cap"),
        ({"caps": 0.0}, "caps"),
        ({"caps": 1.5}, "caps"),
        ({"agent_weights": [1.0, 0.0]}, "agent_weights"),
        ({"benchmark_mix": 1.1}, "benchmark_mix"),
        ({"default": (0.1,)}, "default"),
        ({"disposal": "some"}, "disposal"),
        ({"method": "magic"}, "method"),
        ({"tol": 0.0}, "tol"),
    ],
)
def test_numbers_outside_their_range_are_refused_by_name(wrong, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        Participatory(**wrong)


def test_groups_and_weights_must_fit_the_people():
    with pytest.raises(ValueError, match="`groups` is missing"):
        Participatory([1.0, 0.5]).allocate(crowd())
    with pytest.raises(ValueError, match="`groups`"):
        Participatory([1.0, 0.5], groups=[0, 1, 2, 0]).allocate(crowd())
    with pytest.raises(ValueError, match="`agent_weights`"):
        Participatory(agent_weights=[1.0, 2.0]).allocate(crowd())
    with pytest.raises(ValueError, match="`caps`"):
        Participatory(caps=0.2).allocate(crowd())


def test_what_was_not_given_stays_when_the_rest_is_learned():
    rule = Participatory(0.5)
    moved = from_free(rule, {path: x + 1.0 for path, x in to_free(rule).items()})
    assert float(moved.strength) == pytest.approx(0.5 * np.e, rel=1e-6)
    assert (float(moved.caps), float(moved.benchmark_mix), moved.default.tolist()) == (1.0, 0.0, [0.0, 0.0])
    rule = rule.learning("benchmark_mix")
    moved = from_free(rule, {path: x + 1.0 for path, x in to_free(rule).items()})
    assert float(moved.strength) == 0.5
    assert float(moved.benchmark_mix) > 0.05
    given = Participatory(caps=[0.5, 0.6], report_cap=0.3, benchmark_mix=0.1, default=(0.1, 0.2))
    assert set(given.moves) == set(parameters(given)) - {"agent_weights"} | {"agent_weights"}
    check_support(given)
    assert ("agent_weights",) not in supports(given)


def test_rules_are_saved_and_read():
    for rule in (Participatory([0.5, 1.0], caps=0.5, groups=[0, 1]), ExternalityPricing(), CappedSecondPrice(0.2)):
        again = rule_from_json(rule_to_json(rule))
        assert jax.tree.all(jax.tree.map(lambda a, b: bool(np.all(a == b)), rule, again))


def test_total_utility_is_greatest_under_caps():
    values = crowd().values
    found = Utilitarian(caps=0.4).allocate(society(values, 0.3, 0.3))
    ranked = np.sort(values, 0)[::-1]
    assert found.certificate.utilities.sum() == pytest.approx(
        (0.4 * ranked[0] + 0.4 * ranked[1] + 0.2 * ranked[2]).sum()
    )


def test_the_worked_example_of_externality_pricing():
    found = ExternalityPricing().allocate(society([[1.0], [0.5]], 0.1, 0.1))
    np.testing.assert_allclose(found.payments, [0.6, 0.1], atol=1e-12)
    net = valuations(found.certificate.utilities, 0.1, 0.1) - found.payments
    np.testing.assert_allclose(net, [0.3, -0.2], atol=1e-12)  # who gets nothing loses by taking part


def test_payments_are_what_the_others_lose_by_definition():
    people = crowd(5)
    found = ExternalityPricing().allocate(people)
    v = valuations(found.certificate.utilities, people.alpha, people.beta)
    for i in range(4):
        rest = np.delete(np.arange(4), i)
        alone = weighted_optimum(people.values[rest], people.alpha[rest], people.beta[rest], np.ones(3))
        assert found.payments[i] == pytest.approx(alone - v[rest].sum(), abs=1e-7)


def test_without_aversion_both_prices_are_second_prices():
    values = crowd(3, 2, 5).values
    people = society(values, 0.0, 0.0)
    second = np.where(values > values[::-1], values[::-1], 0.0).sum(1)
    np.testing.assert_allclose(ExternalityPricing().allocate(people).payments, second, atol=1e-9)
    np.testing.assert_allclose(CappedSecondPrice(0.3).allocate(people).payments, second, atol=1e-12)


def test_capped_second_prices_by_hand():
    # capped to 0.2: A = 0.4, r = 3/7. Item 1 is near both, item 2 near the first only.
    found = CappedSecondPrice(0.2).allocate(society([[1.0, 1.0], [0.5, 0.4]], 0.4, 0.4))
    np.testing.assert_allclose(found.payments, [0.9, 1.0])
    with pytest.raises(ValueError, match="two agents"):
        CappedSecondPrice(0.2).allocate(crowd())


def test_silence_of_everybody_is_the_default():
    from fairhand.models import Population

    people = Population(crowd().values)
    found = Participatory(default=(0.3, 0.2)).allocate(people)
    assert found.certificate.primal == pytest.approx(float(solve(people.values, 0.3, 0.2).primal))
    assert float(np.sum(inequality(found.certificate.utilities).advantage)) >= 0


@pytest.mark.parametrize("rule", [Utilitarian(), Participatory(), ExternalityPricing()])
def test_batches_of_pairs_with_many_ties_are_their_loops(rule):
    draw = np.random.default_rng(0)
    values = draw.integers(0, 4, (60, 2, 4)).astype(float)
    alpha = 0.1 * (draw.random((60, 2)) < 0.5)
    both = rule.allocate(society(values, alpha, alpha)).shares
    each = [rule.allocate(society(v, a, a)).shares for v, a in zip(values, alpha, strict=True)]
    np.testing.assert_array_equal(both, np.stack(each))
