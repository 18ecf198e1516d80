"""The softened rule: its gradients are true, it tends to the rule, and it learns the one strength that theory knows."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fairhand as fh
from fairhand.mechanisms import mean
from fairhand.mechanisms.participatory import ExternalityPricing, Participatory, society, solve, uniform_pair, welfare
from fairhand.models import Population
from fairhand.models.world import AbstractWorld

N, M = 4, 3
DRAW = np.random.default_rng(0)
VALUES, ALPHA, BETA = DRAW.random((N, M)), DRAW.uniform(0, 0.4, N), DRAW.uniform(0, 0.3, N)
VIEW = DRAW.standard_normal((N, M))


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@eqx.filter_jit
def seen(rule, people, temperature):
    """A number that depends on all shares."""
    return jnp.sum(jnp.asarray(VIEW) * rule.soften(temperature).allocate(people).shares)


slope = eqx.filter_jit(eqx.filter_grad(lambda pair, temperature: seen(*pair, temperature)))


def loaded():
    rule = Participatory(
        0.8, report_cap=0.25, caps=[0.6, 0.7, 0.9], agent_weights=[1.0, 1.2, 0.9, 1.0], benchmark_mix=0.1
    )
    people = society(VALUES, ALPHA, np.where(np.arange(N) == 2, np.nan, BETA))
    return jax.tree.map(jnp.asarray, (rule, people))


@pytest.mark.parametrize("temperature", [0.3, 0.05, 0.01])
def test_gradients_are_differences_of_the_softened_rule_in_every_number(temperature):
    pair, temperature = loaded(), jnp.asarray(temperature)
    leaves, tree = jax.tree.flatten(pair)
    slopes = jax.tree.leaves(slope(pair, temperature))
    moved = 0
    for i, (x, dx) in enumerate(zip(leaves, slopes, strict=True)):
        way = jnp.asarray(DRAW.standard_normal(x.shape))
        at = lambda s, i=i, x=x, way=way: seen(
            *jax.tree.unflatten(tree, [*leaves[:i], x + s * way, *leaves[i + 1 :]]), temperature
        )
        true = float(at(1e-6) - at(-1e-6)) / 2e-6
        told = float(jnp.sum(jnp.where(jnp.isnan(x), 0, dx * way)))
        assert told == pytest.approx(true, rel=1e-5, abs=2e-8), (i, x.shape)
        moved += abs(told) > 1e-4
    assert moved >= (6 if temperature > 0.02 else 1)  # strength, cap, caps, weights, mix, values, ...


def test_the_exact_rule_has_slope_zero_and_so_would_learn_nothing():
    exact = jax.grad(lambda t: jnp.sum(VIEW * Participatory(t).allocate(society(VALUES, ALPHA, BETA)).shares))
    assert float(exact(0.8)) == 0.0
    assert abs(float(slope(loaded(), jnp.asarray(0.05))[0].strength)) > 1e-4


def test_soft_shares_are_feasible_certified_and_tend_to_the_rule():
    people = society(VALUES, ALPHA, BETA)
    best = float(solve(VALUES, ALPHA, BETA).primal)
    previous = np.inf
    for temperature in (0.3, 0.03, 0.003):
        found = Participatory().soften(temperature).allocate(people)
        proof = found.certificate
        assert bool(proof.solved), proof.status
        np.testing.assert_allclose(found.shares.sum(0), 1, atol=1e-9)
        assert found.shares.min() >= 0
        short = best - float(proof.primal)
        bound = temperature * (M / 2 + N * (ALPHA.max() + BETA.max()) / 4)
        assert -1e-9 <= short <= min(bound, previous + 1e-9)
        assert float(proof.dual) >= best - 1e-9  # sigma lies in the base polytope at every temperature
        previous = short
    assert previous < 5e-3
    rule = Participatory(0.5)
    assert rule.soften(0.1).harden().allocate(people).certificate.method == rule.allocate(people).certificate.method


def test_softened_by_another_hand():
    # n = 2, m = 1, by a fine grid over the share, from the formula.
    a, al, be, tau = [0.64, 0.27], [0.01, 0.005], [0.19, 0.22], 0.3
    x = np.linspace(0, 1, 200001)
    d = a[0] * x - a[1] * (1 - x)
    up, down = be[0] + al[1], be[1] + al[0]
    huber = np.where(np.abs(d) <= tau, d**2 / (2 * tau), np.abs(d) - tau / 2)
    worth = a[0] * x + a[1] * (1 - x) - (up + down) / 2 * huber - (up - down) / 2 * d - tau / 2 * (x**2 + (1 - x) ** 2)
    found = Participatory().soften(tau).allocate(society(np.array(a)[:, None], al, be))
    assert found.shares[0, 0] == pytest.approx(x[worth.argmax()], abs=1e-5)


def test_batches_are_loops_and_prices_soften_too():
    people = society(np.stack([VALUES, VALUES[::-1]]), ALPHA, BETA)
    rule = ExternalityPricing(Participatory(0.7)).soften(0.1)
    both = rule.allocate(people)
    one = rule.allocate(jax.tree.map(lambda x: x[1], people))
    np.testing.assert_allclose(both.shares[1], one.shares, atol=1e-9)
    np.testing.assert_allclose(both.payments[1], one.payments, atol=1e-8)


def test_slopes_agree_with_a_second_route_and_with_the_closed_form():
    # n = 2, m = 1, uniform: E loss = uniform_pair(A).loss. The second route knows no softening: scores of a normal
    # perturbation of the strength, antithetic, on exact allocations.
    draw = np.random.default_rng(1)
    values = (np.stack(np.meshgrid(np.arange(40), np.arange(40)), -1).reshape(-1, 2, 1) + 0.5) / 40
    aversion, width = 0.213, 0.15  # off the grid's own ratios, where slopes jump
    people = society(values, aversion, aversion)

    def loss(rule):
        return jnp.mean(values.max((1, 2)) - (values * rule.allocate(people).shares).sum((1, 2)))

    smooth = float(jax.jit(jax.grad(lambda t: loss(Participatory(t).soften(0.01))))(1.0))
    exact = lambda t: float(uniform_pair(2 * aversion * t).loss)
    closed = (exact(1.001) - exact(0.999)) / 0.002
    assert smooth == pytest.approx(closed, rel=0.05)
    z = draw.standard_normal(400)
    found = []
    for start in (1 + width * z, 1 - width * z):
        top, low = values.max((1, 2)), values.min((1, 2))
        a = 2 * aversion * start[:, None]
        r = (1 - a) / (1 + a)
        found.append(np.where(low / top >= r, top * (1 - low / (top + low)) - low * top / (top + low), 0).mean(1))
    score = np.mean((found[0] - found[1]) * z / (2 * width))
    error = np.std((found[0] - found[1]) * z / (2 * width)) / 20
    far = np.mean([(exact(1 + width * t + 1e-3) - exact(1 + width * t - 1e-3)) / 2e-3 for t in z])
    assert abs(score - far) < 4 * error + 0.01
    assert smooth == pytest.approx(score, abs=0.012 + 3 * error)  # the score is of a wider average


class Grid(AbstractWorld):
    """Two agents, one item: all pairs of `steps` values, evenly spaced; a whole distribution."""

    alpha: jax.Array
    beta: jax.Array
    steps: int = eqx.field(static=True, default=16)

    def population(self, key):
        raise NotImplementedError

    def profiles(self):
        at = (jnp.arange(self.steps) + 0.5) / self.steps
        values = jnp.stack(jnp.meshgrid(at, at), -1).reshape(-1, 2, 1)
        spread = lambda x: jnp.broadcast_to(x, (len(values), 2))
        kind = jnp.broadcast_to(jnp.arange(2), (len(values), 2))
        people = Population(values, alpha=spread(self.alpha), beta=spread(self.beta), kind=kind)
        return people, jnp.full(len(values), 1 / len(values))


class NetGain(eqx.Module):
    """gain - weight * loss, up to what no rule changes."""

    weight: float

    def __call__(self, p, a):
        u = p.utility(a.shares)
        return welfare(u, p.alpha, p.beta) + self.weight * u.sum()


def values_of(rule, world, metric, temperature=None):
    people, weight = world.profiles()
    soft = rule if temperature is None else rule.soften(temperature)
    return jnp.sum(weight * jax.vmap(metric)(people, jax.vmap(soft.allocate)(people)))


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_the_best_strength_is_one_over_one_plus_lambda(weight):
    world = Grid(jnp.asarray(0.3), jnp.asarray(0.3))
    metric = NetGain(weight)
    slope = jax.jit(jax.grad(lambda t: values_of(Participatory(t), world, metric, 0.02)))
    low, high = 0.05, 1.5
    for _ in range(20):  # where the gradient of the softened rule changes sign
        middle = (low + high) / 2
        low, high = (middle, high) if float(slope(middle)) > 0 else (low, middle)
    assert (low + high) / 2 == pytest.approx(1 / (1 + weight), abs=0.03)


@pytest.mark.parametrize(
    ("start", "name", "up"),
    [
        ({"strength": 1.0, "benchmark_mix": 0.05}, "benchmark_mix", True),  # the best mix is lambda / (1 + lambda)
        ({"strength": 1.0, "report_cap": 0.3}, "report_cap", False),
        ({"strength": 1.0, "default": (0.3, 0.3)}, "default", False),
        ({"strength": 1.0, "default": (0.05, 0.05)}, "default", True),
    ],
)
def test_other_levers_move_the_right_way(start, name, up):
    world = Grid(jnp.asarray(0.3), jnp.asarray(0.3))
    people, weight = world.profiles()
    nobody = jnp.full(jnp.shape(people.alpha), jnp.nan)
    silent = eqx.tree_at(lambda p: (p.alpha, p.beta), people, (nobody, nobody))
    told = silent if name == "default" else people

    def net(x):
        rule = eqx.tree_at(lambda r: getattr(r, name), Participatory(**start), x).soften(0.05)
        return jnp.sum(weight * jax.vmap(NetGain(1.0))(people, jax.vmap(rule.allocate)(told)))

    moved = jax.grad(net)(jnp.asarray(getattr(Participatory(**start), name)))
    assert (np.sum(moved) > 0) == up
    assert abs(np.sum(moved)) > 1e-4


class Crowd(AbstractWorld):
    """Two kinds of people who mind inequality differently, in turn; values as they come."""

    alpha: jax.Array
    beta: jax.Array
    agents: int = eqx.field(static=True, default=6)
    items: int = eqx.field(static=True, default=4)

    def population(self, key):
        kind = jnp.arange(self.agents) % 2
        values = jax.random.uniform(key, (self.agents, self.items))
        return Population(values, alpha=self.alpha[kind], beta=self.beta[kind], kind=kind)


@pytest.mark.slow
@pytest.mark.parametrize(("start", "weight"), [(0.9, 2.0), ([0.9, 0.2], 1.0)])
def test_tuning_on_crowds_that_are_drawn_anew_finds_the_strength(start, weight):
    """1 / (1 + lambda) is best for every population, and for either of two kinds that differ."""
    world, objective = Crowd(jnp.array([0.1, 0.3]), jnp.array([0.45, 0.15])), mean(NetGain(weight))
    settings = {"key": jax.random.key(0), "populations": 64, "rate": 0.1, "temperature": (0.1, 0.004)}
    found = fh.tune(Participatory(start), objective, world, steps=80, progress=False, judge=1, **settings)
    best = 1 / (1 + weight)
    np.testing.assert_allclose(found.mechanism.strength, best, atol=0.01)
    fresh = jax.vmap(world.population)(jax.random.split(jax.random.key(1), 32))
    worth = lambda t: float(np.mean(NetGain(weight)(fresh, Participatory(t).allocate(fresh))))
    assert worth(best) - worth(found.mechanism.strength) < 1e-3 * (worth(best) - worth(start))
