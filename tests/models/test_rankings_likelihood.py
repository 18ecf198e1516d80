"""The likelihood of rankings against enumeration of all orders, its modes against other algorithms, and what it refuses."""

import inspect
import itertools
import json
import math
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.sparse.csgraph as graph
from numpyro.infer.util import log_density

import fairhand as fh
from fairhand.mechanisms import classic
from fairhand.models import rankings
from fairhand.models.choice import ChoiceData, ConditionalLogit
from fairhand.models.rankings import PlackettLuce, RankingData, RankOrderedLogit, Stable, Truthful, Undominated
from fairhand.models.rankings._compare import compare
from fairhand.models.rankings._stages import log_probability, stages
from fairhand.models.rankings._ties import log_before
from helpers import assert_close

AGH = Path(__file__).parents[2] / ".." / "shared" / "data" / "agh_courses_2003.soc"
RNG = np.random.default_rng(5)
WORTH = np.array([0.3, -2.0, 1.1, 0.0, 2.5])
LEVELS = np.array(
    [
        [0, 1, 2, 3, 4],
        [4, 3, -1, 1, 0],
        [2, 0, 1, 2, 2],  # the top two of five
        [-1, 0, 1, 1, -1],  # the first of three
        [0, 0, 1, 2, 2],  # ties at the top
        [1, 1, 0, 2, 1],
        [0, 0, 1, 1, 2],  # ties twice
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0],  # nothing is said
        [-1, -1, -1, 0, -1],
    ]
)


def by_enumeration(worth, level):
    """Sum of the probabilities of all strict orders of what is compared that keep the levels."""
    seen = [i for i in range(len(worth)) if level[i] >= 0]
    total = 0.0
    for order in itertools.permutations(seen):
        kept = [level[i] for i in order]
        if kept == sorted(kept):
            rate = np.exp(worth[list(order)])
            total += np.prod(rate / np.cumsum(rate[::-1])[::-1])
    return np.log(total)


@jax.jit
def probability(worth, s):
    """Log-probabilities, and their derivatives."""
    each = lambda v: log_probability(v[s.item], s)
    return each(worth), jax.jacrev(each)(worth)


S = stages(LEVELS)


def test_every_kind_of_ranking_matches_enumeration(dtype):
    found, _ = probability(jnp.asarray(WORTH, dtype), S)
    assert found.dtype == dtype
    assert_close(found, [by_enumeration(WORTH, level) for level in LEVELS], loosen=10)


def test_gradients_match_finite_differences():
    with jax.enable_x64(True):
        slope = probability(jnp.asarray(WORTH), S)[1]
        step = 1e-5 * np.eye(5)
        numeric = [(probability(WORTH + h, S)[0] - probability(WORTH - h, S)[0]) / 2e-5 for h in step]
    np.testing.assert_allclose(slope, np.stack(numeric, 1), rtol=1e-6, atol=1e-8)


def test_favourites_and_outcasts_are_not_lost(dtype):
    worth = np.array([900.0, 0.0, -900.0, -901.0, 3.0])
    found, slope = probability(jnp.asarray(worth, dtype), S)
    left = np.logaddexp.accumulate(worth[::-1])[::-1]
    assert_close(found[0], (worth - left).sum())
    assert bool(jnp.isfinite(slope).all())
    assert found[2] < -800  # 1 and 2 before 0: nearly impossible, and so in logarithms a plain number


def test_a_top_list_is_the_sum_of_its_completions():
    orders = [(1, 2, *rest) for rest in itertools.permutations((0, 3, 4))]
    top, silent, other = [2, 0, 1, 2, 2], [-1, 0, 1, -1, -1], [0, 0, 1, 1, 1]
    # With two tied, the sum is over their two orders too.
    both = [(*o, *rest) for o in ((0, 1), (1, 0)) for rest in itertools.permutations((2, 3, 4))]
    levels = np.concatenate([np.argsort(np.array(orders + both), 1), np.array([top, silent, other])])
    with jax.enable_x64(True):
        each, _ = probability(jnp.asarray(WORTH), stages(levels))
        np.testing.assert_allclose(jax.nn.logsumexp(each[:6]), each[-3], rtol=1e-12)
        np.testing.assert_allclose(jax.nn.logsumexp(each[6:18]), each[-1], rtol=1e-12)
    # With nothing said of the rest, the two listed are compared with each other alone.
    np.testing.assert_allclose(each[-2], -np.log1p(np.exp(WORTH[2] - WORTH[1])), rtol=1e-12)


RELATIVE = [
    [0.0, 0.0],
    [-14.0] * 3,
    [3.0, 3.0, -2.0],
    [-30.0, 5.0, 0.0],
    [9.0, -9.0],
    [-6, -4, -1, 0, 2, 5],
    [-12.0],
    [],
]


def test_tied_items_before_the_rest_match_exact_rationals(dtype):
    padded = np.array([[*r, *[0.0] * (6 - len(r))] for r in RELATIVE])
    member = jnp.asarray(np.arange(6) < np.array([[len(r)] for r in RELATIVE]))
    found = jax.jit(log_before)(jnp.asarray(padded, dtype), member)
    assert_close(found, [in_rationals(r) for r in RELATIVE], loosen=50)


def in_rationals(relative):
    """The sum over subsets of (-1)^size / (1 + sum of rates)."""
    rate = [Fraction(float(np.exp(r))) for r in relative]
    total = Fraction(0)
    for n in range(len(rate) + 1):
        for s in itertools.combinations(rate, n):
            total += (-1) ** n / (1 + sum(s, Fraction(0)))
    return math.log(total.numerator) - math.log(total.denominator)


def test_a_hundred_tied_items_of_equal_worth_match_the_closed_form():
    # n items of rate 1 before a rest of rate 1: all n + 1 are alike, so the rest is last with chance 1 / (n + 1).
    with jax.enable_x64(True):
        found = jax.jit(log_before)(jnp.zeros((1, 100)), jnp.ones((1, 100), bool))
    np.testing.assert_allclose(found, -np.log(101), rtol=1e-12)


# Against other algorithms.

TRUTH = np.array([0.0, 0.7, -0.5, 1.2, 0.2, -1.0])


@pytest.fixture(scope="module")
def drawn():
    order = np.argsort(-(TRUTH + np.random.default_rng(1).gumbel(size=(80, 6))), 1)
    return RankingData(order[:, :4], "abcdef", np.ones((80, 6)), unranked="below")


@pytest.fixture(scope="module")
def flat(drawn):
    model = PlackettLuce(prior_scale=None, reports=Truthful("serial dictatorship"))
    return fh.fit(model, drawn, method="map", draws=200, progress=False)


def test_the_flat_mode_is_that_of_hunters_mm_algorithm(drawn, flat):
    rest = np.array([np.setdiff1d(np.arange(6), row) for row in drawn.order])
    order, wins = np.concatenate([drawn.order, rest], 1), np.bincount(drawn.order.ravel(), minlength=6)
    weight = np.ones(6)
    for _ in range(1000):
        left = np.cumsum(weight[order][:, ::-1], 1)[:, ::-1]
        share = np.cumsum(1 / left[:, :4], 1)[:, [0, 1, 2, 3, 3, 3]]
        weight = wins / np.bincount(order.ravel(), share.ravel(), 6)
        weight = weight / np.exp(np.log(weight).mean())
    np.testing.assert_allclose(list(flat.mode.values()), np.log(weight), atol=1e-6)
    assert abs(sum(flat.mode.values())) < 1e-9


def test_the_assumption_is_printed_and_kept(flat, tmp_path):
    assert "as the rule SerialDictatorship promises (DSIC)" in str(flat)
    assert "80 of 80 lists are shorter than their menu" in str(flat)
    flat.save(tmp_path / "p.nc")
    opened = fh.load(tmp_path / "p.nc")
    assert opened.model == flat.model
    assert "as the rule SerialDictatorship promises (DSIC)" in str(opened)
    np.testing.assert_array_equal(opened.sites["worth"], flat.sites["worth"])
    assert opened.data.sha256 == flat.data.sha256


def test_log_densities_sum_to_the_likelihood_that_was_fitted(drawn, flat):
    sites = {"worth": np.stack([TRUTH, 2 * TRUTH])}
    with jax.enable_x64(True):
        each = np.asarray(flat.model.log_densities(sites, drawn))
    expected = [[by_enumeration(k * TRUTH, level) for level in Truthful.assumed("x").levels(drawn)[:5]] for k in (1, 2)]
    np.testing.assert_allclose(each[:, :5], expected, rtol=1e-10)


def test_a_base_only_moves_the_origin(drawn):
    theta = RNG.normal(size=5)
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):

        @jax.jit
        def density(args):
            value, trace = log_density(PlackettLuce().numpyro_model, args, {}, {"theta": theta})
            return value, trace["worth"]["value"]

        models = PlackettLuce(), PlackettLuce(base="c")
        found = [tuple(map(np.asarray, density(model.arguments(drawn)))) for model in models]
    assert abs(found[0][0] - found[1][0]) < 1e-9
    np.testing.assert_allclose(found[1][1], found[0][1] - found[0][1][2], atol=1e-12)
    assert abs(found[0][1].sum()) < 1e-12
    np.testing.assert_allclose(np.sum(found[0][1] ** 2), np.sum(theta**2))  # an isometry: the prior stays what it is


def test_one_choice_from_a_menu_is_the_conditional_logit():
    x, taken = RNG.normal(size=(30, 3, 2)), RNG.integers(0, 3, 30)
    choices = ChoiceData(x, taken, ("a", "b", "c"), ("p", "q"))
    lists = RankingData(taken[:, None], "abc", np.ones((30, 3)), "below", attributes=x, columns=("p", "q"))
    sites = {"coefficient": np.array([[0.5, -1.0, 0.3, 0.2]])}
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        one = ConditionalLogit(("p", "q")).log_densities(sites, choices)
        other = RankOrderedLogit(("p", "q"), constants=True).log_densities(sites, lists)
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_the_rank_ordered_mode_maximises_an_independent_likelihood():
    x = RNG.normal(size=(60, 4, 2))
    order = np.argsort(-(x @ [1.0, -0.5] + RNG.gumbel(size=(60, 4))), 1)
    data = RankingData(order, "abcd", np.ones((60, 4)), attributes=x, columns=("p", "q"))
    found = fh.fit(RankOrderedLogit(("p", "q"), prior_scale=None), data, method="map", draws=10, progress=False)

    def minus(beta):
        v = np.take_along_axis(x @ beta, order, 1)
        return sum(np.logaddexp.reduce(row[k:]) - row[k] for row in v for k in range(4))

    best = scipy.optimize.minimize(minus, np.zeros(2), tol=1e-10)
    np.testing.assert_allclose(list(found.mode.values()), best.x, atol=1e-5)


def test_agh_courses_are_fitted_and_the_one_always_first_is_named():
    if not AGH.exists():
        pytest.skip("the file is not here")
    notes = PlackettLuce().identify(RankingData.from_preflib(AGH))
    assert any(note.startswith("Items `Course 9` never come after another") for note in notes)
    with pytest.raises(ValueError, match="Items `Course 9` never|items `Course 9` never come after another.*finite"):
        PlackettLuce(prior_scale=None).identify(RankingData.from_preflib(AGH))


# What data cannot tell.


def lists(orders, menu="abcd", **more):
    return RankingData.from_orders([list(o) for o in orders], menu=list(menu), unranked="silent", **more)


def test_items_that_nothing_links_are_named():
    with pytest.raises(ValueError, match="items `a`, `b` are never compared with `c`, `d`"):
        PlackettLuce().identify(lists(["ab", "ba", "cd", "dc"]))
    with pytest.raises(ValueError, match="compares nothing"):
        PlackettLuce().identify(lists(["a", "b"]))
    with pytest.raises(ValueError, match="`base` must be one of the items"):
        PlackettLuce(base="z").identify(lists(["ab", "bc", "cd"]))
    notes = PlackettLuce().identify(lists(["abcd", "dcba", "b"]))
    assert any(note.startswith("1 of 3 rankings put no item above another") for note in notes)


def test_ford_s_condition_is_told_by_name():
    one_way = lists(["ab", "ba", "cd", "dc", "bc"])
    with pytest.raises(ValueError, match="items `a`, `b` and the rest come before each other in one direction only"):
        PlackettLuce(prior_scale=None).identify(one_way)
    assert any("is the prior's word" in note for note in PlackettLuce().identify(one_way))
    assert len(PlackettLuce(prior_scale=None).identify(lists(["abcd", "dcba"]))) == 1


def test_components_match_the_graph_of_all_pairs():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        levels = rng.integers(-1, 3, (3, 6))
        levels = np.stack(
            [np.where(x >= 0, np.unique(np.append(x, -1), return_inverse=True)[1][:6] - 1, -1) for x in levels]
        )
        edges = ((levels[:, :, None] >= 0) & (levels[:, None] > levels[:, :, None])).any(0)
        found = compare(levels)
        compared = edges.any(0) | edges.any(1)
        strong = graph.connected_components(edges, connection="strong")[1]
        weak = graph.connected_components(edges, connection="weak")[1]
        same = lambda a: a[:, None] == a[None]
        np.testing.assert_array_equal(same(found.together), same(weak))
        np.testing.assert_array_equal(same(found.mutual)[compared][:, compared], same(strong)[compared][:, compared])
        assert found.never_above == np.flatnonzero(compared & ~edges.any(1)).tolist()
        assert found.never_below == np.flatnonzero(compared & ~edges.any(0)).tolist()


def test_columns_that_rankings_cannot_tell_are_named():
    x = RNG.normal(size=(40, 4, 2))
    order = np.argsort(-(x[..., 0] + RNG.gumbel(size=(40, 4))), 1)
    more = np.stack([x[..., 0], x[..., 1], x[..., 0] + x[..., 1], np.ones((40, 4))], -1)
    data = RankingData(order, "abcd", np.ones((40, 4)), attributes=more, columns=("p", "q", "sum", "one"))
    with pytest.raises(ValueError, match="Column `one` does not vary .* Columns `p`, `q`, `sum` are collinear"):
        RankOrderedLogit(("p", "q", "sum", "one")).identify(data)
    best = data.changed(order=np.argsort(-x[..., 0], 1))
    with pytest.raises(ValueError, match=r"separated along `p` \(\+.*no maximum exists"):
        RankOrderedLogit(("p", "q"), prior_scale=None).identify(best)
    assert any("separated along `p`" in note for note in RankOrderedLogit(("p", "q")).identify(best))
    with pytest.raises(ValueError, match="has no attribute `cost`"):
        RankOrderedLogit("cost").identify(data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PlackettLuce(prior_scale=0.0), "`prior_scale` must be positive"),
        (lambda: RankOrderedLogit(), "the model has no coefficient"),
        (lambda: RankOrderedLogit(("a", "a")), "`attributes` names .* twice"),
        (lambda: RankOrderedLogit("a", numeraire="b"), "`numeraire` must be one of `attributes`"),
        (lambda: PlackettLuce(reports="truth"), r"`reports` must be `Truthful\(rule\)`"),
        (lambda: PlackettLuce.from_spec({"model": "Other"}), "is of model 'Other'"),
        (lambda: PlackettLuce.from_spec({"what": 1}), r"unknown keys \['what'\]"),
        (lambda: Truthful("Boston"), "'Boston' is not known to promise truthfulness"),
        (lambda: Truthful(), "`rule` is missing"),
        (lambda: Truthful.assumed(" "), "`why` is empty"),
    ],
)
def test_bad_models_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Reports.


def test_each_assumption_takes_its_own_comparisons():
    data = RankingData.from_orders(
        [["b", "a"], ["c"]], menu=list("abcd"), unranked="below", assigned=["a", None], feasible=[["a", "c"], ["d"]]
    )
    assert Truthful.assumed("x").levels(data).tolist() == [[1, 0, 2, 2], [1, 1, 0, 1]]
    assert Undominated().levels(data).tolist() == [[1, 0, -1, -1], [-1, -1, 0, -1]]
    assert Stable().levels(data).tolist() == [[0, -1, 1, -1], [-1, -1, -1, -1]]
    assert "1 of 2 were assigned nothing" in Stable().check(data)[0]
    silent = data.changed(unranked="silent")
    assert Truthful.assumed("x").levels(silent).tolist() == Undominated().levels(data).tolist()
    with pytest.raises(ValueError, match=r"has no `assigned`, which `Stable\(\)` needs"):
        PlackettLuce(reports=Stable()).identify(lists(["ab"]))


def test_a_rule_must_promise_truth():
    eye = np.eye(2)
    assert Truthful(classic.DeferredAcceptance(eye)).rule == "DeferredAcceptance"
    assert Truthful("Random serial dictatorship") == Truthful(classic.RandomSerialDictatorship())
    with pytest.raises(ValueError, match="`rule` Boston does not promise that truth is a dominant strategy"):
        Truthful(classic.Boston(eye))
    for name in rankings.reports.TRUTHFUL_RULES:
        made = getattr(classic, name)
        assert "DSIC(" in inspect.getsource(made.promises.fget)


@pytest.mark.parametrize(
    "reports", [Truthful("SerialDictatorship"), Truthful.assumed("why not"), Undominated(), Stable()]
)
def test_a_specification_holds_the_assumption(reports):
    for model in (PlackettLuce(base="a", reports=reports), RankOrderedLogit("x", constants=True, reports=reports)):
        assert type(model).from_spec(json.loads(json.dumps(model.to_spec()))) == model
