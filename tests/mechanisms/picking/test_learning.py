"""Four routes to one gradient, and the verbs that walk along it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import fairhand as fh
from fairhand.mechanisms import metrics, of_rule, picking
from fairhand.models import (
    AbstractWorld,
    Beta,
    Empirical,
    Independent,
    OwnLaws,
    Population,
    Power,
    Uniform,
    WorstCaseFamily,
)
from fairhand.models.laws import AbstractLaw

S = np.array([0.3, 0.5, 1.0])


def by_recursion(s, law: AbstractLaw):
    """Continuation values C_i and dW/ds_i = R_i (Q(1 − s_i) − C_{i+1}), one agent after another."""
    later, slope = 0.0, np.zeros(len(s))
    reach = np.concatenate([[1.0], np.cumprod(1 - s[:-1])])
    for i in reversed(range(len(s))):
        slope[i] = reach[i] * (float(law.quantile(1 - s[i])) - later)
        later = float(law.tail_integral(1 - s[i])) + (1 - s[i]) * later
    return later, slope


@pytest.mark.parametrize("law", [Uniform(0.5, 2.0), Power(0.4)], ids=["uniform", "power"])
def test_the_exact_gradient_is_the_recursion_and_the_differences(law):
    with jax.enable_x64(True):
        value, slope = jax.value_and_grad(lambda s: picking.threshold_welfare(s, law))(jnp.asarray(S))
        welfare, expected = by_recursion(S, law)
        np.testing.assert_allclose(value, welfare, rtol=1e-12)
        np.testing.assert_allclose(slope, expected, rtol=1e-10, atol=1e-14)
        step = np.array([1e-5, 0, 0])
        differ = (picking.threshold_welfare(S + step, law) - picking.threshold_welfare(S - step, law)) / 2e-5
        np.testing.assert_allclose(slope[0], differ, rtol=1e-7)


def test_on_values_the_hard_rule_is_valued_and_the_exact_gradient_returned(dtype):
    law = Uniform(0.5, 2.0)
    values = law.sample((3, 4, 3, 50), key=jax.random.key(0)).astype(dtype)
    s = jnp.asarray(S, dtype)
    (value, (slope, in_values)) = jax.value_and_grad(picking.threshold_welfare, (0, 2))(s, law, values)
    shares = picking.QuantileThreshold(S, law).allocate(values).shares
    np.testing.assert_allclose(value, (shares * values).sum((-1, -2)).mean() / 50, rtol=1e-5)
    np.testing.assert_allclose(slope, by_recursion(S, law)[1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(in_values, shares / (12 * 50), rtol=1e-5)
    assert value.dtype == slope.dtype == dtype


def test_from_samples_the_gradient_is_that_of_order_statistics():
    with jax.enable_x64(True):
        law = Uniform()
        seen = Empirical(law.sample((20_000,), key=jax.random.key(2)))
        slope = jax.grad(lambda s: picking.threshold_welfare(s, seen))(jnp.asarray(S))
        np.testing.assert_allclose(slope, by_recursion(S, law)[1], atol=4 * 0.5 / np.sqrt(20_000))


def test_pathwise_gradients_in_the_law_keep_hard_decisions():
    """d/da of the welfare under Power(a), thresholds moving with the law: sampled against closed form."""
    with jax.enable_x64(True):
        exact = jax.grad(lambda a: picking.threshold_welfare(S, Power(a)))(2.0)

        def sampled(a, key):
            law = Power(a)
            return picking.threshold_welfare(S, law, law.sample((3, 400), key=key))

        each = jax.vmap(jax.grad(sampled), (None, 0))(2.0, jax.random.split(jax.random.key(3), 40))
        error = each.std() / np.sqrt(39)
        assert error < 0.01 * abs(exact)
        np.testing.assert_allclose(each.mean(), exact, atol=4 * error)


def test_the_relaxed_gradient_has_a_bias_of_the_second_order():
    """Stratified values, so that only the relaxation is seen; the last agent takes all that is left, at any temperature."""
    with jax.enable_x64(True):
        m, law = 20_000, Uniform()
        values = jnp.stack([(jnp.arange(m) + 0.5) / m, jnp.full(m, 0.5)])

        def slope(temperature):
            rule = lambda s: picking.QuantileThreshold(jnp.stack([s, 1.0]), law).soften(temperature)
            return jax.grad(lambda s: (rule(s).allocate(values).shares * values).sum() / m)(0.3)

        # Away from the middle: the edge of the support adds terms of order exp(−0.3 / T).
        bias = [abs(float(slope(t)) - 0.2) for t in (0.04, 0.02)]
        assert bias[0] < 0.01
        linear = jax.grad(lambda s: picking.threshold_welfare(jnp.stack([s, 1.0]), law))(0.3)
        np.testing.assert_allclose(linear, 0.2, rtol=1e-12)
        assert bias[1] <= bias[0] / 3.5 + 1e-5


def test_the_score_function_agrees_within_its_error():
    with jax.enable_x64(True):
        law = Uniform()
        values = law.sample((200, 3, 200), key=jax.random.key(4))
        found = picking.score_gradient(S, law, values, key=jax.random.key(5), draws=1500, scale=0.05)
        exact = by_recursion(S, law)[1] * S * (1 - S)  # in the logit of s
        # The sampled values' own welfare has another slope than the law's: its error is that of a mean over them.
        slack = 4 * found.standard_error[:2] + 4 * 0.2 / np.sqrt(200 * 200)
        assert np.all(abs(found.gradient[:2] - exact[:2]) < slack)
        assert np.all(found.standard_error[:2] < 0.1)
        assert found.gradient[2] == 0


def ascend(law, n, steps=400):
    """Thresholds by Adam on sampled populations, hard rule forward, exact gradient back."""
    free = jnp.zeros(n - 1)
    adam = optax.adam(optax.cosine_decay_schedule(0.1, steps))
    to_s = lambda free: jnp.append(jax.nn.sigmoid(free), 1.0)

    def step(state, key):
        free, moments = state
        values = law.sample((4, n, 20), key=key)
        slope = jax.grad(lambda f: -picking.threshold_welfare(to_s(f), law, values))(free)
        move, moments = adam.update(slope, moments)
        return (optax.apply_updates(free, move), moments), None

    run = jax.jit(lambda: jax.lax.scan(step, (free, adam.init(free)), jax.random.split(jax.random.key(0), steps))[0][0])
    return to_s(run())


LEARNED = [(Uniform(), 2), (Uniform(), 5), pytest.param(Beta(2.0, 5.0), 3, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("law", "n"), LEARNED, ids=["uniform-2", "uniform-5", "beta-3"])
def test_thresholds_learned_on_populations_are_those_of_the_dynamic_programme(law, n):
    best = picking.optimal_pick(law, n)
    np.testing.assert_allclose(ascend(law, n), best.s, atol=2e-3)
    slope = jax.grad(lambda s: picking.threshold_welfare(s, law))(best.s)
    np.testing.assert_allclose(slope[:-1], 0, atol=1e-5)


HARD = fh.mean(metrics.welfare)
EXACT = HARD.trained_as(of_rule(lambda rule: picking.threshold_welfare(rule.s, rule.law)))


def test_tune_walks_along_the_exact_gradient_and_judges_the_hard_rule():
    law = Uniform()
    world = Independent(law, agents=3, options=50)
    start = picking.QuantileThreshold([0.8, 0.2, 1.0], law)
    tuned = fh.tune(start, EXACT, world, key=jax.random.key(0), populations=32, steps=150, rate=0.1)
    np.testing.assert_allclose(tuned.mechanism.s, picking.optimal_pick(law, 3).s, atol=5e-3)
    assert float(tuned.exact.value) > float(tuned.started.value)
    assert isinstance(tuned.mechanism.coupled, picking.PickR)


HALF = float(1 - 2 ** (-2 / 3))  # r_half of Power(2): 1 − 2^{−a/(a+1)}


def in_the_window(x):
    r = HALF + x * (0.5 - HALF)
    return picking.PickR(jnp.stack([r, 1 - r]))


def in_time(exponent):
    r = 0.5 - 1000.0 ** (-exponent)
    return picking.PickR(jnp.stack([r, 1 - r]))


def least_margin(law):
    return of_rule(lambda rule: picking.asymptotics(rule.r, law).margins.min())


def welfare_of(law):
    return of_rule(lambda rule: picking.asymptotics(rule.r, law).welfare)


def tuned_on(rule, objective, law, **more):
    world = Independent(law, agents=2, options=2)
    return fh.tune(rule, objective, world, key=jax.random.key(1), populations=2, steps=150, rate=0.1, **more)


@pytest.mark.slow
def test_quotas_inside_the_envy_free_window_and_the_exponent_of_a_schedule():
    """Welfare is concave in r, so its best in the window is the best of all, clipped (M9); Power(2) has it inside."""
    law = Power(2.0)
    best = 1 - (2 / 3) ** 2  # r_opt = 1 − F(mean)
    window = tuned_on(fh.Built(in_the_window, 0.5), welfare_of(law), law)
    np.testing.assert_allclose(window.mechanism.r[0], np.clip(best, HALF, 0.5), atol=2e-3)
    # the fairest margin of all exponents is the one that balances both agents' margins
    schedule = tuned_on(fh.Built(in_time, 0.25, 0.12, 1.0), least_margin(law), law)
    r = np.linspace(0.3, 0.5, 2001)[1:-1]
    margins = jax.vmap(lambda r: picking.asymptotics(jnp.stack([r, 1 - r]), law).margins.min())(r)
    np.testing.assert_allclose(schedule.mechanism.r[0], r[np.argmax(margins)], atol=2e-3)


def test_welfare_subject_to_envy_margins_reports_the_active_limit():
    """Uniform: the best r is 1/2, where agent 0's items are as many as agent 1's and she is envied; the margin binds."""
    law, least = Uniform(), 0.05
    limit = least_margin(law) >= least
    tuned = tuned_on(picking.PickR([0.35, 0.65]), welfare_of(law), law, subject_to=[limit])
    # margin of agent 1 against 0: (1 − r)/2 − r/2 = 1/2 − r
    np.testing.assert_allclose(tuned.mechanism.r[0], 0.5 - least, atol=2e-3)
    assert float(tuned.shadow[0]) > 0
    assert abs(float(tuned.slack[0])) < 2e-3


@pytest.mark.slow
def test_weights_of_agents_with_laws_of_their_own():
    """Half of all items each: equalising weights (1, 2/3) for U[0, 1] and U[1/2, 1]."""
    laws = [Uniform(), Uniform(0.5, 1.0)]
    world = OwnLaws(laws, 200)
    share = lambda p, a: -jnp.square(a.shares.mean(-1) - 0.5).sum()
    tuned = fh.tune(
        picking.WelfareMax([1.0, 1.0]), fh.mean(share), world, key=jax.random.key(2), populations=32, steps=100
    )
    ratio = float(tuned.mechanism.weights[1] / tuned.mechanism.weights[0])
    np.testing.assert_allclose(ratio, 2 / 3, atol=0.03)


def test_the_order_of_pickers_is_compared_and_matches_simulation():
    laws, r = [Uniform(0.4, 0.6), Uniform(0.0, 0.5), Uniform()], [0.2, 0.3, 0.5]
    found = picking.best_order(r, laws)
    values = OwnLaws(laws, 4000).population(jax.random.key(3)).values
    for order, welfare in list(zip(found.orders.tolist(), found.each, strict=True))[::2]:
        played = (picking.PickR(r, order=order).allocate(values).shares * values).sum() / 4000
        np.testing.assert_allclose(welfare, played, atol=0.02)
    assert found.order.tolist() == found.orders[int(np.argmax(found.each))].tolist()
    assert np.ptp(found.each) > 0.05
    with pytest.raises(ValueError, match="`laws` must be one an agent"):
        picking.best_order(r, laws[:2])


@pytest.mark.slow
def test_which_component_gets_which_items_is_chosen_by_comparison():
    """Four items of two kinds: agent 0 cares about which of the first two, agent 1 about which of the last two."""
    flat, steep = Uniform(0.45, 0.55), Uniform()

    class TwoKinds(AbstractWorld):
        def population(self, key):
            a, b = jax.random.split(key)
            narrow, wide = flat.sample((2, 2), key=a), steep.sample((2, 2), key=b)
            return Population(jnp.stack([jnp.append(wide[0], narrow[0]), jnp.append(narrow[1], wide[1])]))

    def assign(first, second):
        return picking.PickingExchange(
            [picking.Picking([0, 1], first, size=1), picking.Picking([2, 3], second, size=1)]
        )

    rules = {f"{i} then {k}": assign(i, k) for i in (0, 1) for k in (0, 1)}
    found = fh.best_of(rules, HARD, TwoKinds(), key=jax.random.key(6), populations=200)
    assert found.name == "0 then 1"
    assert found.table().index[0] == "0 then 1"
    # one of two wide values and a narrow one, twice: 2 (2/3 + 1/2)
    best = found.judged[found.name]
    np.testing.assert_allclose(best.value, 7 / 3, atol=4 * float(best.error) + 1e-9)
    with pytest.raises(ValueError, match="`rules` is empty"):
        fh.best_of({}, HARD, TwoKinds(), key=jax.random.key(6))


def worst_case(q):
    return picking.QuantileThreshold([0.4, 1.0], WorstCaseFamily(1e-3, 1e-3, q))


@pytest.mark.slow
def test_an_adversary_learns_the_law_that_is_worst_for_every_rule():
    """(2 − q) / (2 − q²) is least at q = 2 − √2, the law of theorem 3.1; p and δ are small and not zero."""
    of_the_best = of_rule(lambda rule: -picking.optimal_pick(rule.law, 2).ratio)
    found = tuned_on(fh.Built(worst_case, 0.3, 0.05, 0.95), of_the_best, Uniform())
    np.testing.assert_allclose(found.mechanism.law.q, 2 - np.sqrt(2), atol=3e-3)
    np.testing.assert_allclose(-found.exact.value, (2 + np.sqrt(2)) / 4, atol=1e-3)
