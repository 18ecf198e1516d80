"""Who comes by a model of rankings: errors given rankings, strangers, and the mixed logit's people."""

import doctest
import importlib
import itertools
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from fairhand.models import Draws, Items, Menu
from fairhand.models.rankings import (
    MixedRankOrderedLogit,
    PlackettLuce,
    RankingData,
    RankOrderedLogit,
    Stable,
    Undominated,
)
from fairhand.models.rankings._gumbel import given_ranking
from fairhand.models.rankings._stages import stages

KEY = jax.random.key(3)
WORTH = np.array([0.4, -1.0, 1.5, 0.0])
ITEMS = ("a", "b", "c", "d")
pytestmark = pytest.mark.usefixtures("relaxed_ranks")


draw = eqx.filter_jit(lambda world, key: world.population(key))
draw_many = eqx.filter_jit(lambda world, keys: jax.vmap(lambda k: world.population(k).values)(keys))


def test_errors_given_rankings_mix_to_free_ones():
    """Draw a ranking by its chance, then errors given it: independent standard Gumbels again. Ties and top lists too."""
    n = 40_000
    rng = np.random.default_rng(0)
    free = WORTH + rng.gumbel(size=(n, 4))
    place = np.argsort(np.argsort(-free, 1), 1)
    # What is told of each: the whole order, the top two, the top two as a tie, two tied in the middle, the order of two.
    told = np.array([[0, 1, 2, 3], [0, 1, 2, 2], [0, 0, 1, 1], [0, 1, 1, 2]])
    levels = np.take_along_axis(told[np.arange(n) % 4], place, 1)
    only = place[:, :2].argsort(1).argsort(1)
    levels[::7] = np.concatenate([only, np.full((n, 2), -1)], 1)[::7]
    with jax.enable_x64(True):
        u = jax.jit(given_ranking)(jnp.broadcast_to(jnp.asarray(WORTH), (n, 4)), stages(levels), key=KEY)
    error = np.asarray(u) - WORTH
    for k in range(4):
        assert scipy.stats.kstest(error[:, k], scipy.stats.gumbel_r.cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(error.T) - np.eye(4)).max() < 4 / np.sqrt(n)
    again = np.argsort(np.argsort(-np.asarray(u), 1), 1)
    one, other = np.triu_indices(4, 1)
    above = levels[:, one] - levels[:, other]
    known = (levels[:, one] >= 0) & (levels[:, other] >= 0) & (above != 0)
    assert (np.sign(again[:, one] - again[:, other]) == np.sign(above))[known].all()
    # Within the tie of the top two either may lead, in the ratio of the two orders' chances.
    tied = (np.arange(n) % 4 == 2) & (np.arange(n) % 7 != 0) & (levels[:, 0] == 0) & (levels[:, 2] == 0)
    orders = np.exp([pl(WORTH[[0, 2, 1, 3]], 2), pl(WORTH[[2, 0, 1, 3]], 2)])
    share, chance = (again[tied, 0] == 0).mean(), orders[0] / orders.sum()
    assert abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / tied.sum())


def pl(worth, stages):
    return sum(worth[k] - np.logaddexp.reduce(worth[k:]) for k in range(stages))


@pytest.mark.parametrize("stretch", [1.0, 40.0])  # far from even: floating point would tie
def test_the_same_people_would_rank_the_same(dtype, stretch):
    orders = np.array(list(itertools.permutations(range(4))))
    data = RankingData(orders, ITEMS, np.ones((24, 4)))
    worth = jnp.asarray(stretch * WORTH, dtype)[None]
    world = (
        PlackettLuce().worlds({"worth": worth}, data, same=True, supply=Menu.seats([1.0, 1.0, 1.0]), outside="b").one(0)
    )
    assert world.serves_the_sample
    assert world.options == ("a", "c", "d", "b")
    values = np.asarray(draw_many(world, jax.random.split(KEY, 50)))
    assert values.dtype == dtype
    assert (values[..., -1] == 0).all()
    ranked = np.take_along_axis(values[..., [0, 3, 1, 2]], np.broadcast_to(orders, (50, 24, 4)), -1)
    assert (np.diff(ranked, axis=-1) < 0).all()


def test_an_assumption_gives_no_more_than_it_takes():
    data = RankingData.from_orders(
        [["a", "b"]] * 4000, menu=ITEMS, unranked="below", assigned=["b"] * 4000, feasible=[["b", "c"]] * 4000
    )
    sites = {"worth": jnp.zeros((1, 4))}
    shares = {}
    for reports in (Undominated(), Stable()):
        world = PlackettLuce(reports=reports).worlds(sites, data, same=True, supply=Items()).one(0)
        v = np.asarray(draw(world, KEY).values)
        shares[reports.name] = [(v[:, i] > v[:, j]).mean() for i, j in ((0, 1), (1, 2), (0, 2), (2, 3))]
    np.testing.assert_allclose(shares["Undominated"], [1, 1 / 3, 2 / 3, 1 / 2], atol=0.04)
    np.testing.assert_allclose(shares["Stable"], [1 / 3, 1, 2 / 3, 1 / 3], atol=0.04)


@pytest.fixture(scope="module")
def panel():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(30, 4, 3))
    menu = np.ones((30, 4), bool)
    menu[:10, 3] = False
    order = np.argsort(-np.where(menu, rng.gumbel(size=(30, 4)), -np.inf), 1)[:, :3]
    return RankingData(
        order, ITEMS, menu, "below", attributes=x, columns=("p", "q", "cost"), person=np.arange(30) // 2,
        level=np.where(np.arange(30)[:, None] % 3 == 0, [0, 0, 1], [0, 1, 2]),
    )  # fmt: skip


LOGIT = RankOrderedLogit(("p", "q", "cost"), numeraire="cost", constants=True, unit="dollars")
MIXED = MixedRankOrderedLogit(LOGIT, random=("p", "constant:b"), correlated=True)


@pytest.fixture(scope="module")
def sites():
    rng = np.random.default_rng(4)
    root = np.linalg.cholesky([[1.0, 0.5], [0.5, 1.0]])
    return {
        "mean": np.array([[0.5, -0.3]]), "spread": np.array([[0.8, 0.4]]), "correlation": root[None],
        "beta": np.array([[0.2, -0.4, 0.3, 0.6]]), "taste": rng.normal(size=(1, 15, 2)),
    }  # fmt: skip


def test_menus_kinds_and_units_travel_to_strangers(panel):
    beta = np.array([[0.5, 0.0, -2.0, 0.3, 0.1, 0.2]])
    kind = (~panel.menu[:, 3]).astype(int)
    world = LOGIT.worlds({"coefficient": beta}, panel, new=3000, supply=Items(), kind=kind).one(0)
    people = draw(world, KEY)
    assert people.unit == "dollars"
    assert not world.serves_the_sample
    np.testing.assert_array_equal(np.isneginf(people.values[:, 3]), people.kind == 1)
    worth = (panel.attributes @ beta[0, :3] + np.array([0.3, 0.1, 0.2, 0.0])) / 2
    assert abs(np.mean(people.values[:, 0]) - (worth[:, 0].mean() + np.euler_gamma / 2)) < 4 * 0.8 / np.sqrt(3000)


def test_people_of_the_mixed_logit_have_their_own_tastes(panel, sites):
    scale = LOGIT.scale(panel)
    names = ("p", "q", "cost", "constant:a", "constant:b", "constant:c")
    assert MIXED.split(ITEMS) == (("p", "constant:b"), ("q", "cost", "constant:a", "constant:c"))
    expected = np.stack([
        sites["taste"][0, :, 0], np.full(15, 0.2), np.full(15, -np.exp(-0.4)), np.full(15, 0.3), sites["taste"][0, :, 1],
        np.full(15, 0.6),
    ], 1) / scale  # fmt: skip
    with jax.enable_x64(True):
        own = MIXED.coefficients(sites, panel)[0]
        np.testing.assert_allclose(own, expected, rtol=1e-12)
        scalars = MIXED.scalars(sites, panel)
        np.testing.assert_allclose(scalars["cost"], -np.exp(-0.4) / scale[2])
        np.testing.assert_allclose(scalars["correlation[p,constant:b]"], 0.5)
        each = MIXED.log_densities(sites, panel)[0]
        alone = [
            RankOrderedLogit(LOGIT.attributes, constants=True).log_densities({"coefficient": own[None, i]}, panel)[0]
            for i in (0, 7)
        ]
        np.testing.assert_allclose(each[:2], alone[0][:2], rtol=1e-10)
        np.testing.assert_allclose(each[14:16], alone[1][14:16], rtol=1e-10)
        args = MIXED.arguments(panel)
        total = jax.jit(MIXED.person_log_likelihood)(sites["taste"][0], sites["beta"][0], *args)
        np.testing.assert_allclose(total, np.asarray(each).reshape(15, 2).sum(1), rtol=1e-10)
    assert LOGIT.names(ITEMS) == names


def test_strangers_of_the_mixed_logit_differ_by_its_law(panel, sites):
    worlds = MIXED.worlds(sites, panel, new=20_000, supply=Items())
    assert isinstance(worlds, Draws)
    world = worlds.one(0)
    scale = LOGIT.scale(panel)
    found = np.asarray(world.root) @ np.asarray(world.root).T
    expected = np.zeros((6, 6))
    sd = np.array([0.8, 0.4]) / scale[[0, 4]]
    expected[np.ix_([0, 4], [0, 4])] = np.outer(sd, sd) * [[1, 0.5], [0.5, 1]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    same = MIXED.worlds(sites, panel, same=True, supply=Items()).one(0)
    values = np.asarray(draw(same, KEY).values)
    last = np.arange(1, 30, 2)
    level = panel.rank[last]
    one, other = np.triu_indices(4, 1)
    known = (level[:, one] >= 0) & (level[:, other] >= 0) & (level[:, one] != level[:, other])
    right = (values[:, one] > values[:, other]) == (level[:, one] < level[:, other])
    assert right[known].all()
    assert jax.eval_shape(world.population, KEY).values.shape == (20_000, 4)


def test_the_mixed_logit_is_refused_and_written_by_name(panel):
    assert MixedRankOrderedLogit.from_spec(json.loads(json.dumps(MIXED.to_spec()))) == MIXED
    assert MIXED.assuming(Undominated()).reports == Undominated()
    MIXED.identify(panel)
    flat = RankOrderedLogit("p", prior_scale=None)
    for make, message in (
        (lambda: MixedRankOrderedLogit(flat), "`prior_scale` must be finite"),
        (lambda: MixedRankOrderedLogit(LOGIT, random="cost"), "`random` names the numeraire 'cost'"),
        (lambda: MixedRankOrderedLogit(LOGIT, spread_scale=0), "`spread_scale` must be positive"),
        (lambda: MixedRankOrderedLogit(LOGIT, random="z").identify(panel), r"`random` names \['z'\]"),
        (lambda: MIXED.identify(panel.changed(weight=np.full(30, 2.0))), r"Take `data.expanded\(\)`"),
        (
            lambda: MIXED.identify(panel.changed(order=panel.order[:, :1], level=None, person=None, people=None)),
            "nobody's lists have more than one stage",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_replicates_keep_lengths_and_follow_the_model(panel, sites):
    data = RankingData(np.array([[0, -1], [1, 2]] * 3000), ITEMS, np.ones((6000, 4)), "below")
    again = PlackettLuce().replicate({"worth": WORTH[None].astype(np.float32)}, data, key=KEY)
    assert again.shape == (1, 6000, 2)
    np.testing.assert_array_equal(np.asarray(again[0] < 0), data.order < 0)
    compare = data.statistics()
    chance = np.exp(WORTH) / np.exp(WORTH).sum()
    first = [compare[f"put first: {a}"](again)[0] for a in ITEMS]
    np.testing.assert_allclose(first, chance, atol=4 * np.sqrt(0.25 / 6000))
    assert compare["mean place: b"](data.order[None]) == [1.0]
    assert compare["mean place: c"](data.order[None]) == [2.0]
    told = PlackettLuce(reports=Undominated()).replicate({"worth": WORTH[None].astype(np.float32)}, data, key=KEY)
    np.testing.assert_array_equal(np.sort(told[0], 1), np.sort(data.order, 1))
    with pytest.raises(ValueError, match=r"`Stable\(\)` says nothing of lists"):
        PlackettLuce(reports=Stable()).replicate({"worth": WORTH[None]}, data, key=KEY)
    assert MIXED.replicate(sites, panel, key=KEY).shape == (1, 30, 3)
    assert LOGIT.replicate({"coefficient": np.zeros((2, 6))}, panel, key=KEY).shape == (2, 30, 3)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({}, "say either `new=`"),
        ({"new": 3, "same": True}, "say either `new=`"),
        ({"new": 0}, "`agents` must be at least 1"),
        ({"new": 2, "outside": "z"}, "`outside` must be one of the items"),
        ({"new": 2, "outside": "d"}, "the outside option `d` is not on the menu of ranking"),
        ({"new": 2, "kind": [0]}, "`kind` must be one index of 0 or more for each of the 30"),
        ({"new": 2, "supply": Menu.seats([1.0])}, "`supply` is a menu of 2 options"),
    ],
)
def test_bad_worlds_are_refused(panel, where, message):
    with pytest.raises(ValueError, match=message):
        PlackettLuce().worlds({"worth": np.zeros((2, 4))}, panel, **{"supply": Items(), **where})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["worlds", "plackett_luce", "rank_ordered", "mixed"])
def test_examples_run(name):
    module = importlib.import_module(f"fairhand.models.rankings.{name}")
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
