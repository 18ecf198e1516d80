"""Objectives made of atoms: their values by hand, their certificates, and their optima against independent programs."""

import itertools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from fairhand.mechanisms.participatory import atoms, solve, welfare
from fairhand.mechanisms.participatory.objectives.compare_objectives import compare_objectives
from fairhand.mechanisms.participatory.objectives.maximise import maximise

A = np.array([[4.0, 1.0, 2.0], [3.0, 2.0, 0.0], [1.0, 1.0, 5.0]])
X = np.array([[0.5, 0.0, 0.2], [0.5, 0.5, 0.0], [0.0, 0.5, 0.8]])
U = np.array([2.4, 2.5, 4.5])
GRAPH = np.array([[1, 1, 0], [0, 0, 0], [1, 1, 0]])


def cases(n=3):
    """Every atom with the sign that it takes, and a function of (x, a) that says by hand what each agent makes of it."""
    rng = np.random.default_rng(7)
    weights, graph = rng.normal(size=(n, n)), (rng.random((n, n)) < 0.5).astype(int)
    graph[1] = 0
    u = lambda x, a: (x * a).sum(1)
    gap = lambda x, a: np.array([[u(x, a)[k] - u(x, a)[i] for k in range(n)] for i in range(n)])
    off = graph * (1 - np.eye(n))
    among = lambda g: g / np.maximum(g.sum(1, keepdims=True), 1)
    wish = lambda x, a: np.array([[a[i] @ (x[k] - x[i]) for k in range(n)] for i in range(n)])
    least, mean, total = (lambda x, a, f=f: np.full(n, f(u(x, a))) for f in (np.min, np.mean, np.sum))
    return {
        "own": (atoms.own(), 1.0, u),
        "average": (atoms.average(), 0.5, mean),
        "total": (atoms.total(), 0.2, total),
        "worst_off": (atoms.worst_off(), np.linspace(0.1, 0.5, n), least),
        "disadvantage": (atoms.disadvantage(), -0.4, lambda x, a: np.maximum(gap(x, a), 0).sum(1) / (n - 1)),
        "advantage": (atoms.advantage(), -0.3, lambda x, a: np.maximum(-gap(x, a), 0).sum(1) / (n - 1)),
        "near_disadvantage": (
            atoms.disadvantage(graph),
            -0.4,
            lambda x, a: (among(off) * np.maximum(gap(x, a), 0)).sum(1),
        ),
        "near_advantage": (
            atoms.advantage(graph),
            -np.linspace(0.1, 0.5, n),
            lambda x, a: (among(off) * np.maximum(-gap(x, a), 0)).sum(1),
        ),
        "envy": (atoms.envy(), -0.3, lambda x, a: wish(x, a).max(1)),
        "network_envy": (atoms.network_envy(graph), -0.6, lambda x, a: np.maximum(off * wish(x, a), 0).max(1)),
        "externality": (atoms.externality(weights), 0.3, lambda x, a: weights @ u(x, a)),
        "erc": (atoms.erc(), -0.5, lambda x, a: np.abs(u(x, a) - u(x, a).mean())),
        "charness_rabin": (
            atoms.charness_rabin(0.6, 0.7),
            1.0,
            lambda x, a: 0.4 * u(x, a) + 0.6 * (0.7 * u(x, a).min() + 0.3 * u(x, a).sum()),
        ),
    }


NAMES = list(cases())


def draw_shares(rng, n, m, count):
    x = rng.dirichlet(np.full(n, 0.3), (count, m))
    return np.moveaxis(x, -1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_by_hand_in_numpy_and_in_jax(name):
    rng = np.random.default_rng(0)
    atom, _, by_hand = cases()[name]
    x, a = draw_shares(rng, 3, 4, 5), rng.random((3, 4))
    told = np.array([by_hand(one, a) for one in x])
    np.testing.assert_allclose(atom.value(x, a), told, atol=1e-12)
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.jit(lambda x, a: atom.value(x, a))(x, a), told, atol=1e-12)


def test_hand_values():
    check = lambda atom, told: np.testing.assert_allclose(atom.value(X, A), told, atol=1e-12)
    check(atoms.own(), U)
    check(atoms.worst_off(), [2.4] * 3)
    check(atoms.average(), [9.4 / 3] * 3)
    check(atoms.disadvantage(), [2.2 / 2, 2.0 / 2, 0.0])
    check(atoms.advantage(), [0.0, 0.1 / 2, 4.1 / 2])
    check(atoms.envy(), [2.5 - 2.4, 0.0, 0.0])
    # Agent 2 is alone; the diagonal of the graph is not read; a bundle that nobody sees raises no envy.
    check(atoms.network_envy(GRAPH), [0.1, 0.0, 0.0])
    check(atoms.disadvantage(GRAPH), [0.1, 0.0, 0.0])
    check(atoms.advantage(GRAPH), [0.0, 0.0, 4.1 / 2])
    check(atoms.externality([[0, 1, 0], [0, 0, 0], [0, -1, 2]]), [2.5, 0.0, 9.0 - 2.5])
    check(atoms.erc(), np.abs(U - 9.4 / 3))
    check(atoms.erc("share"), (U / 9.4 - 1 / 3) ** 2)
    check(atoms.adopters(), [0.0, 0.0, 0.0])
    whole = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    assert atoms.adopters().value(whole, A).tolist() == [2.0, 1.0, 3.0]


def test_the_envy_of_many_is_computed_in_blocks():
    rng = np.random.default_rng(1)
    n, m = 300, 3
    x, a = draw_shares(rng, n, m, 1)[0], rng.random((n, m))
    np.testing.assert_allclose(atoms.envy().value(x, a), (a @ x.T).max(1) - (x * a).sum(1), atol=1e-12)


def test_the_algebra_takes_weights_on_either_side():
    w = np.array([0.1, 0.2, 0.3])
    told = U - w * np.array([0.1, 0.0, 0.0])
    ways = [
        atoms.own() - w * atoms.envy(),
        atoms.own() - atoms.envy() * w,
        atoms.own() - jnp.asarray(w) * atoms.envy(),
        atoms.own() + (-w) * atoms.envy(),
        -(w * atoms.envy()) + atoms.own(),
        sum([atoms.own(), -w * atoms.envy()]),
        atoms.own() - atoms.envy() * [0.1, 0.2, 0.3],
        (2 * atoms.own() - (2 * w) * atoms.envy()) / 2,
        (2 * atoms.own() - (2 * w) * atoms.envy()) / np.full(3, 2.0),
    ]
    for objective in ways:
        np.testing.assert_allclose(objective.value(X, A), told, atol=1e-7)
    assert jax.tree.structure(ways[0]) == jax.tree.structure(jax.tree.map(lambda x: x, ways[0]))
    assert isinstance(np.float64(0.3) * atoms.envy(), atoms.Objective)
    # It differentiates, in shares and in weights.
    slope = jax.grad(lambda x: (atoms.own() - w * atoms.envy()).value(x, A).sum())(jnp.asarray(X))
    np.testing.assert_allclose(slope[2], A[2], rtol=1e-6)
    slope = jax.grad(lambda w: (atoms.own() - w * atoms.envy()).value(X, A).sum())(jnp.asarray(w))
    np.testing.assert_allclose(slope, [-0.1, 0.0, 0.0], atol=1e-6)


def slsqp(objective, values, caps, starts):
    """The best value found by a general nonlinear solver from many starts: never above a true maximum."""
    n, m = values.shape
    best = -np.inf
    for x in starts:
        found = scipy.optimize.minimize(
            lambda z: -objective(z.reshape(n, m)).sum(),
            x.ravel(),
            method="SLSQP",
            bounds=[(0, b) for _ in range(n) for b in caps],
            constraints={"type": "eq", "fun": lambda z: z.reshape(n, m).sum(0) - 1},
            options={"maxiter": 60},
        )
        x = np.clip(found.x.reshape(n, m), 0, None)
        x = x / x.sum(0)
        if np.all(x <= caps + 1e-6):
            best = max(best, objective(x).sum())
    return best


@pytest.mark.parametrize("name", NAMES)
def test_optima_beat_every_allocation_tried_and_meet_their_bound(name):
    rng = np.random.default_rng(2)
    n, m = 3, 3
    values = rng.random((n, m))
    atom, weight, by_hand = cases(n)[name]
    objective = atoms.own() + weight * atom
    told = lambda x: (x * values).sum(1) + weight * by_hand(x, values)
    for caps, disposal in ((np.ones(m), "forbidden"), (np.array([0.5, 0.9, 0.34]), "free")):
        found = maximise(objective, values, caps=caps, disposal=disposal)
        assert found.sigma is None
        assert abs(found.gap) < 1e-9
        assert found.primal == pytest.approx(told(found.shares).sum(), abs=1e-12)
        assert np.all((found.shares >= 0) & (found.shares <= caps))
        assert np.all(found.shares.sum(0) <= 1 + 1e-12)
        np.testing.assert_allclose(found.utilities, (found.shares * values).sum(1))
        tried = np.minimum(draw_shares(rng, n, m, 300), caps) * (rng.random((300, 1, m)) if disposal == "free" else 1)
        if disposal == "forbidden":
            near = slsqp(told, values, caps, [*tried[:2], found.shares])
            assert near == pytest.approx(found.primal, abs=1e-5)
        else:
            assert max(told(x).sum() for x in tried) <= found.primal + 1e-9
        assert max(told(x).sum() for x in found.shares + 1e-3 * (tried - found.shares)) <= found.primal + 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_fehr_and_schmidt_by_atoms_is_solve(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 8), rng.integers(1, 5)
    values = rng.random((n, m)) * 10 ** rng.uniform(-3, 3)
    alpha, beta = rng.uniform(-0.1, 0.8, n), rng.uniform(0.1, 0.5, n)  # altruists among them: alpha < 0
    caps, disposal = rng.uniform(1 / n, 1, m), ("forbidden", "free")[seed % 2]
    objective = atoms.own() - alpha * atoms.disadvantage() - beta * atoms.advantage()
    found = maximise(objective, values, caps=caps, disposal=disposal)
    other = solve(values, alpha, beta, caps=caps, disposal=disposal)
    scale = values.sum()
    assert found.primal == pytest.approx(float(other.primal), abs=1e-8 * scale)
    assert found.dual == pytest.approx(float(other.primal), abs=1e-8 * scale)
    assert found.primal == pytest.approx(float(welfare(found.utilities, alpha, beta)), abs=1e-10 * scale)
    # On a complete graph all are neighbours.
    everybody = np.ones((n, n))
    same = atoms.own() - alpha * atoms.disadvantage(everybody) - beta * atoms.advantage(everybody)
    assert maximise(same, values, caps=caps, disposal=disposal).primal == pytest.approx(found.primal, abs=1e-8 * scale)


def test_only_neighbours_count_in_a_network():
    values = np.array([[1.0], [0.6], [0.6]])
    pair = [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    averse = lambda graph: atoms.own() - 0.5 * atoms.disadvantage(graph) - 0.5 * atoms.advantage(graph)
    seen = maximise(averse(pair), values)
    # The first two share: 1 / (1 + 1 / 0.6) of it to the first; the third, whom nobody minds, gets nothing.
    np.testing.assert_allclose(seen.utilities, [0.375, 0.375, 0.0], atol=1e-9)
    np.testing.assert_allclose(maximise(averse(np.zeros((3, 3))), values).utilities, [1.0, 0.0, 0.0], atol=1e-9)


def test_altruism_towards_the_average_never_changes_what_is_best():
    rng = np.random.default_rng(4)
    values = rng.random((5, 4))
    theta = rng.uniform(-0.5, 2.0, 5)
    found = maximise(atoms.own() + theta * atoms.average(), values)
    assert found.primal == pytest.approx((1 + theta.mean()) * values.max(0).sum(), abs=1e-9)
    told = compare_objectives(atoms.own() + theta * atoms.average(), values)
    assert told.loss == pytest.approx(0, abs=1e-9)
    assert told.gain == pytest.approx(0, abs=1e-9)


def test_maximin_is_the_equal_utility_program():
    rng = np.random.default_rng(5)
    values = 0.1 + rng.random((4, 3))
    found = maximise(atoms.worst_off(), values)
    # max t with u_i >= t, by hand.
    cost = np.append(np.zeros(12), -1.0)
    rows = np.hstack([-scipy.linalg.block_diag(*values), np.ones((4, 1))])
    totals = np.hstack([np.tile(np.eye(3), 4), np.zeros((3, 1))])
    told = scipy.optimize.linprog(cost, A_ub=rows, b_ub=np.zeros(4), A_eq=totals, b_eq=np.ones(3))
    assert found.primal == pytest.approx(-4 * told.fun, abs=1e-8)


def test_a_search_finds_who_should_hold_things_whole():
    """One item of value 1 to the first: shared evenly by people who mind, unless enough others like it whole."""
    averse = atoms.own() - 0.5 * atoms.disadvantage() - 0.5 * atoms.advantage()
    for weight, shares in ((0.9, [0.5, 0.5]), (1.1, [1.0, 0.0])):  # W is 1, or 1 - 1 and 1 of it for the other's joy
        found = maximise(averse + [0.0, weight] * atoms.adopters(search=True), [[1.0], [1.0]])
        np.testing.assert_allclose(found.shares.ravel(), shares, atol=1e-9)
        assert found.primal == pytest.approx(max(1.0, weight), abs=1e-9)
        assert found.converged
    with pytest.raises(ValueError, match="`adopters` by a negative"):
        maximise(atoms.own() - atoms.adopters(search=True), A)


@pytest.mark.slow
def test_adopters_are_found_by_search_as_by_brute_force():
    rng = np.random.default_rng(6)
    values = 10 * rng.random((3, 2))
    w = np.array([3.0, 0.5, 1.0])
    fs = atoms.own() - 0.6 * atoms.disadvantage() - 0.6 * atoms.advantage()
    found = maximise(fs + w * atoms.adopters(search=True), values)
    assert found.converged
    best = -np.inf
    for holders in itertools.product([None, 0, 1, 2], repeat=2):  # who holds each item whole, or nobody
        x = np.array([[k == i for k in holders] for i in range(3)], float)
        open_items = [j for j, k in enumerate(holders) if k is None]
        bonus = sum(0.0 if k is None else w.sum() - w[k] for k in holders)
        told = lambda part, x=x, items=open_items: fs.value(_put(x, items, part), values)
        start = draw_shares(rng, 3, len(open_items), 4) if open_items else [np.zeros((3, 0))]
        shared = (
            slsqp(told, values[:, open_items], np.ones(len(open_items)), start) if open_items else told(start[0]).sum()
        )
        best = max(best, shared + bonus)
    assert found.primal == pytest.approx(best, abs=1e-4)
    assert found.primal >= best - 1e-9


def _put(x, columns, part):
    x = x.copy()
    x[:, columns] = part
    return x


@pytest.mark.parametrize(
    ("objective", "named"),
    [
        (atoms.own() + 0.3 * atoms.envy(), "`envy` is convex"),
        (atoms.own() + [0.0, 0.0, 0.2] * atoms.network_envy(GRAPH), "`network_envy` is convex.*agent 2"),
        (atoms.own() - 0.1 * atoms.worst_off(), "`worst_off` is concave"),
        (atoms.own() + 0.1 * atoms.disadvantage(), "`disadvantage` is convex"),
        (atoms.own() + 0.1 * atoms.advantage() - 0.05 * atoms.disadvantage(), "`advantage` is convex"),
        (atoms.own() - 0.2 * atoms.advantage(GRAPH) + 0.15 * atoms.disadvantage(), "`disadvantage` is convex"),
        (atoms.own() + atoms.erc(), "`erc` is convex"),
        (atoms.own() - atoms.erc("share"), r"`erc\('share'\)` is nonconvex"),
        (atoms.own() + atoms.adopters(), "`adopters` is nonconvex"),
        (atoms.own() - atoms.charness_rabin(0.5, 0.5), "`worst_off` is concave"),
        (3.0, "made from `atoms`"),
        ("envy", "made from `atoms`"),
        (lambda x: x, "made from `atoms`"),
        (np.ones(4) * atoms.own(), "weighs `own` by 4 numbers"),
        (atoms.own() + atoms.externality(np.ones((2, 2))), "`weights`"),
        (atoms.own() - atoms.network_envy(np.ones((4, 4))), "`graph`"),
    ],
)
def test_what_is_not_certified_concave_is_refused_by_name(objective, named):
    with pytest.raises(ValueError, match=named):
        maximise(objective, A)


def test_what_cancels_or_makes_up_is_taken():
    plain = maximise(atoms.own(), A).primal
    assert maximise(atoms.own() + 0.3 * atoms.envy() - 0.3 * atoms.envy(), A).primal == pytest.approx(plain)
    assert maximise(atoms.own() + 0.1 * atoms.envy() - 0.4 * atoms.envy(), A).primal == pytest.approx(
        maximise(atoms.own() - 0.3 * atoms.envy(), A).primal
    )
    altruists = atoms.own() + 0.1 * atoms.disadvantage() - 0.3 * atoms.advantage()
    assert maximise(altruists, A).primal == pytest.approx(float(solve(A, -0.1, 0.3).primal))
    with pytest.raises(ValueError, match="cannot be certified"):  # two networks are two atoms
        maximise(atoms.own() + 0.3 * atoms.network_envy(GRAPH) - 0.3 * atoms.network_envy(1 - GRAPH), A)


def test_bad_weights_and_arguments_are_refused_by_name():
    for match, build in [
        ("`weight`", lambda: np.nan * atoms.own()),
        ("`weight`", lambda: "much" * atoms.own()),
        ("`weight`", lambda: np.ones((2, 2)) * atoms.own()),
        ("only weights", lambda: atoms.own() * atoms.envy()),
        ("can only add", lambda: atoms.own() + 3.0),
        ("can only subtract", lambda: atoms.own() - 3.0),
        ("`graph`", lambda: atoms.network_envy([[0, 2], [1, 0]])),
        ("`graph`", lambda: atoms.network_envy([[0, 1]])),
        ("`graph`", lambda: atoms.network_envy(None)),
        ("`weights`", lambda: atoms.externality([1.0, 2.0])),
        ("`form`", lambda: atoms.erc("squares")),
        ("`concern`", lambda: atoms.charness_rabin(1.5, 0.2)),
        ("`shares`", lambda: atoms.own().value(X[:2], A)),
        ("`values`", lambda: maximise(atoms.own(), -A)),
        ("`caps`", lambda: maximise(atoms.own(), A, caps=0.2)),
        ("`disposal`", lambda: maximise(atoms.own(), A, disposal="maybe")),
        ("`tol`", lambda: maximise(atoms.own(), A, tol=0.0)),
    ]:
        with pytest.raises(ValueError, match=match):
            build()


def test_own_atoms_can_be_added_and_say_what_they_lack():
    class Least(atoms.AbstractAtom):
        """The least of one's own shares."""

        curvature: ClassVar = "concave"

        def value(self, shares, values):
            return shares.min(-1)

    assert (atoms.own() + Least()).value(X, A).tolist() == pytest.approx((U + X.min(1)).tolist())
    with pytest.raises(ValueError, match="`least`, which has no linear program"):
        maximise(atoms.own() + Least(), A)


def test_leading_axes_are_solved_one_by_one_and_a_missed_gap_is_told():
    rng = np.random.default_rng(8)
    values = rng.random((2, 3, 3, 2))
    found = maximise(atoms.own() - 0.3 * atoms.envy(), values)
    assert found.shares.shape == values.shape
    assert found.primal.shape == (2, 3)
    one = maximise(atoms.own() - 0.3 * atoms.envy(), values[1, 2])
    assert found.primal[1, 2] == pytest.approx(float(one.primal), abs=1e-12)
    assert found.method == "lp"
    one = maximise(1e-20 * atoms.own(), values[0, 0], tol=1e-12, throw=False)
    assert one.converged
