"""Bundles: worth by hand, what data cannot tell by name, shrinkage of pairs, and whole bundles as options of worlds."""

import doctest
import importlib
import itertools
import json
import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from numpyro.infer import Predictive
from numpyro.infer.util import log_density
from scipy.special import log_softmax

from fairhand.inference import Posterior, fit
from fairhand.models import Items, Menu
from fairhand.models.choice import BundleLogit, ChoiceData, ConditionalLogit, bundle_choices

# A spread of pairs is far from normal at its mode: k-hat says so, and these tests are of other things.
pytestmark = pytest.mark.filterwarnings("ignore:k-hat is:RuntimeWarning")
GOODS = ("a", "b", "c")
ALL = np.array(list(itertools.product((0, 1), repeat=3)))[
    np.argsort([sum(r) for r in itertools.product((0, 1), repeat=3)])
]
ALPHA, GAMMA, DELTA = np.array([0.5, -0.3, 0.2]), {(0, 1): 1.0, (0, 2): -0.5, (1, 2): 0.0}, {3: -0.4}
PRICE = np.random.default_rng(9).uniform(0.5, 2.0, (400, 3))


def by_hand(price: np.ndarray, cost: float, bundles: np.ndarray = ALL) -> np.ndarray:
    """v(y), bundle by bundle, as the equation has it."""
    out = []
    for y in bundles:
        v = sum(ALPHA[j] + cost * price[j] for j in range(3) if y[j])
        v += sum(g for (j, k), g in GAMMA.items() if y[j] and y[k])
        out.append(v + DELTA.get(int(y.sum()), 0.0))
    return np.array(out)


def simulate(n: int = 400, seed: int = 0, cost: float = -1.0, **more: Any) -> ChoiceData:
    rng = np.random.default_rng(seed)
    price = np.resize(PRICE, (n, 3)) if n <= 400 else rng.uniform(0.5, 2.0, (n, 3))
    worth = np.stack([by_hand(p, cost) for p in price])
    chosen = (worth + rng.gumbel(size=worth.shape)).argmax(1)
    return bundle_choices(ALL, chosen, GOODS, sizes=True, features={"price": price}, **more)


DATA = simulate()
MODEL = BundleLogit(GOODS, "price", numeraire="price")
TRUTH = np.array([*ALPHA, *GAMMA.values(), *DELTA.values(), -1.0])
NAMES = ("a", "b", "c", "a+b", "a+c", "b+c", "size:3", "price")


def test_columns_are_goods_pairs_sizes_and_features():
    assert DATA.columns == NAMES
    assert DATA.alternatives == ("nothing", "c", "b", "a", "b+c", "a+c", "a+b", "a+b+c")
    worth = MODEL.logit(DATA).design(DATA) @ TRUTH
    np.testing.assert_allclose(worth, [by_hand(p, -1.0) for p in PRICE], atol=1e-12)
    assert np.all(worth[:, 0] == 0)


def test_log_densities_are_those_by_hand(dtype):
    found = MODEL.log_densities({"coefficient": jnp.asarray(TRUTH, dtype)[None]}, DATA)
    assert found.dtype == dtype
    expected = log_softmax([by_hand(p, -1.0) for p in PRICE], axis=1)[np.arange(400), DATA.chosen]
    np.testing.assert_allclose(found[0], expected, rtol={"float32": 1e-4, "float64": 1e-10}[dtype.name])


def joint_density(model: BundleLogit, data: ChoiceData, values: Any) -> tuple[float, np.ndarray]:
    def fn(values, rest):
        density, trace = log_density(model.numpyro_model, rest, {}, values)
        return density, trace["coefficient"]["value"]

    with jax.numpy_rank_promotion("allow"):
        density, coefficient = jax.jit(fn)(values, tuple(jnp.asarray(a) for a in model.arguments(data)))
    return float(density), np.asarray(coefficient)


def test_joint_density_is_prior_plus_weighted_likelihood(dtype):
    data = DATA.changed(weight=np.linspace(0, 2, 400))
    values = {"alpha": [0.3, 0.2, -0.1], "tau": 0.4, "raw": [1.0, -0.5, 0.3], "delta": [0.2], "numeraire": 0.6}
    density, coefficient = joint_density(MODEL, data, {k: jnp.asarray(v, dtype) for k, v in values.items()})
    scale = MODEL.arguments(data)[-1]
    beta = np.array([0.3, 0.2, -0.1, 0.4, -0.2, 0.12, 0.2, -0.6 / scale[0]])
    np.testing.assert_allclose(coefficient, beta, rtol=1e-6)
    expected = scipy.stats.norm(0, 1.5).logpdf([0.3, 0.2, -0.1, 0.2]).sum()
    expected += scipy.stats.norm(0, 1).logpdf([1.0, -0.5, 0.3]).sum() + scipy.stats.halfnorm(0, 0.5).logpdf(0.4)
    expected += scipy.stats.lognorm(1.25, scale=0.2 * 1.5).logpdf(0.6)
    worth = MODEL.logit(data).design(data) @ beta
    expected += data.weight @ log_softmax(worth, axis=1)[np.arange(400), data.chosen]
    np.testing.assert_allclose(density, expected, rtol={"float32": 1e-5, "float64": 1e-10}[dtype.name])


def test_weights_count_situations_several_times():
    twice = np.where(np.arange(400) < 60, 2, 1)
    again = np.repeat(np.arange(400), twice)
    repeated = ChoiceData(DATA.attributes[again], DATA.chosen[again], DATA.alternatives, DATA.columns)
    plain = BundleLogit(GOODS)  # no column whose scale the repetition would move
    values = {"alpha": jnp.ones(3) * 0.3, "tau": jnp.array(0.4), "raw": jnp.ones(3) * 0.5, "delta": jnp.ones(1)}
    weighted = joint_density(plain, DATA.changed(weight=twice.astype(float)), values)[0]
    np.testing.assert_allclose(weighted, joint_density(plain, repeated, values)[0], rtol=1e-5)
    assert abs(weighted - joint_density(plain, DATA, values)[0]) > 10


@pytest.mark.slow
def test_the_prior_alone_can_be_drawn_and_choices_predicted(key):
    arguments = list(MODEL.arguments(DATA))
    arguments[2] = None
    with jax.numpy_rank_promotion("allow"):
        drawn = Predictive(MODEL.numpyro_model, num_samples=500)(key, *arguments)
    sizes = {k: len(v) for k, v in MODEL.coords(DATA).items()}
    for site, dims in MODEL.dims().items():
        if site in drawn:
            assert drawn[site].shape[1:] == tuple(sizes[d] for d in dims)
    pairs = np.asarray(drawn["coefficient"])[:, 3:6]
    assert abs(np.mean(pairs**2) / 0.25 - 1) < 0.3  # τ² of a half-normal of 0.5


@pytest.fixture(scope="module")
def posterior():
    with jax.numpy_rank_promotion("allow"):
        return fit(MODEL, DATA, method="map", draws=60, progress=False)


def test_posterior_survives_a_file(posterior, tmp_path):
    assert posterior.names == (*NAMES, "tau")
    posterior.save(tmp_path / "p.nc")
    again = Posterior.load(tmp_path / "p.nc")
    assert again.model == MODEL
    assert again.mean == posterior.mean
    np.testing.assert_allclose(again.log_likelihood(), posterior.log_likelihood())


def test_worlds_offer_whole_bundles(posterior, key):
    order = [*range(1, 8), 0]
    supply = Menu(ALL[order].astype(float), np.array([5.0, 5.0, 5.0]))
    world = posterior.world(draws=4, new=30, supply=supply, outside="nothing")
    people = eqx.filter_jit(lambda w: w.one(1).population(key).values)(world)
    assert people.shape == (30, 8)
    assert np.all(people[:, -1] == 0)
    same = posterior.world(draws=2, same=True, supply=Items()).one(0)
    assert np.array_equal(np.asarray(eqx.filter_jit(lambda w: w.population(key).values)(same)).argmax(1), DATA.chosen)


def test_replicates_have_the_models_shares(key):
    n = 3000
    few = ChoiceData(DATA.attributes[:3], DATA.chosen[:3], DATA.alternatives, DATA.columns)
    drawn = np.asarray(MODEL.replicate({"coefficient": np.tile(TRUTH, (n, 1))}, few, key=key))
    share = np.asarray(MODEL.choice_probabilities({"coefficient": TRUTH[None]}, few))[0]
    found = np.stack([(drawn == j).mean(0) for j in range(8)], 1)
    assert np.abs((found - share) / np.sqrt(share * (1 - share) / n)).max() < 4


@pytest.mark.parametrize(
    "model",
    [MODEL, BundleLogit(GOODS, pairs=("a+b",), sizes=False, good_scale=2.0), BundleLogit("a", prior_scale=None)],
)
def test_spec_round_trip_through_json(model):
    again = BundleLogit.from_spec(json.loads(json.dumps(model.to_spec())))
    assert again == model
    assert hash(again) == hash(model)
    assert again.numpyro_model == model.numpyro_model


# What the data can tell.


def choices(bundles: Any, chosen: Any = None, n: int = 200, goods: Any = GOODS, **more: Any) -> ChoiceData:
    rows = np.asarray(bundles)
    taken = np.random.default_rng(0).integers(0, len(rows), n) if chosen is None else chosen
    return bundle_choices(rows, taken, goods, **more)


def test_all_bundles_tell_all():
    assert MODEL.identify(DATA) == ()


SINGLES = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
PAIRS = [[1, 1, 0], [1, 0, 1], [0, 1, 1]]


@pytest.mark.parametrize(
    ("data", "model", "message"),
    [
        (
            choices([*SINGLES, *PAIRS], sizes=[2]),
            BundleLogit(GOODS),
            "The pairs `a+b`, `a+c`, `b+c` are confounded with `size:2`",
        ),
        (
            choices([[0, 0, 0], [0, 0, 1], [1, 1, 0], [0, 1, 0], [1, 1, 1]]),  # a never without b
            BundleLogit(GOODS, pairs=("a+b", "b+c")),
            "`a`, `a+b` cannot be told apart: a pair needs menus with and without it",
        ),
        (choices([*SINGLES, PAIRS[0]]), BundleLogit(GOODS, pairs=("a+c",)), "has no columns ['a+c']"),
        (
            choices([*SINGLES, PAIRS[0]]).changed(
                available=np.arange(5) < 4 * np.ones((200, 1)), chosen=np.arange(200) % 4
            ),
            BundleLogit(GOODS),
            "no menu offers a bundle with the pair ['a+b']",
        ),
        (DATA, BundleLogit((*GOODS, "d")), "has no columns ['d']"),
        (
            choices([*SINGLES, *PAIRS], np.arange(200) % 3),
            BundleLogit(GOODS, pairs=()),
            "The choices are separated along `c`",
        ),
        (
            ChoiceData(np.ones((4, 2, 1)), np.zeros(4, int), ("x", "y"), ("a",)),
            BundleLogit("a"),
            "alternative 0 must be the empty bundle",
        ),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(data, model, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        model.identify(data)


def test_a_pair_that_nobody_took_is_left_to_its_prior():
    data = choices([*SINGLES, PAIRS[0]], np.arange(200) % 4)
    notes = BundleLogit(GOODS).identify(data)
    assert len(notes) == 1
    assert notes[0].startswith("The choices are separated along `a+b` (-1): there the prior of the pairs decides")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bundles": [[1, 0, 0], [0, 0, 0]]}, "`bundles` must have the empty bundle in row 0"),
        ({"bundles": [[0, 0, 0], [2, 0, 0]]}, "`bundles` must be 0 or 1; row 1 is not"),
        ({"bundles": [[0, 0, 0], [1, 0, 0], [1, 0, 0]]}, "the same bundle in rows 1 and 2"),
        ({"bundles": [[0, 0], [1, 0]]}, "`bundles` must be [bundles, 3 goods]; got shape (2, 2)"),
        ({"goods": ("a", "b", "b")}, "`goods` names ['b'] twice"),
        ({"goods": ("a", "b", "b+c")}, "`goods` may not be called ['b+c']"),
        ({"pairs": "none"}, '`pairs` must be "all" or a list'),
        ({"pairs": ["a+d"]}, "`pairs` must name two of the goods"),
        ({"pairs": ["a+b", ("b", "a")]}, "`pairs` names `a+b` twice"),
        ({"pairs": ["a+c"], "bundles": [*SINGLES, PAIRS[0]]}, "No menu offers a bundle with the pair `a+c`"),
        (
            {"pairs": ["b+c"], "available": np.arange(8) < 4 * np.ones((3, 1))},
            "No menu offers a bundle with the pair `b+c`",
        ),
        ({"sizes": [5]}, "`sizes` names [5], but the bundles have sizes [1, 2, 3]"),
        ({"features": {"price": [1.0, 2.0]}}, "`features['price']` must have shape (3,) or (3, 3); got (2,)"),
        ({"available": np.ones((3, 2), bool)}, "`available` must be [3 situations, 8 bundles]"),
        ({"chosen": 3}, "`chosen` must be [situations]"),
        ({"chosen": [0, 1, 9]}, "`chosen` of situation [2] must be an index from 0 to 7"),
    ],
)
def test_bad_menus_are_refused(change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        bundle_choices(**{"bundles": ALL, "chosen": [0, 1, 2], "goods": GOODS, **change})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"goods": ()}, "`goods` is empty"),
        ({"numeraire": "price"}, "`numeraire` must be one of `features`"),
        ({"pair_scale": 0.0}, "`pair_scale` must be positive"),
        ({"features": ("a",)}, "is named twice"),
    ],
)
def test_bad_models_are_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        BundleLogit(**{"goods": GOODS, **arguments})
    with pytest.raises(ValueError, match="unknown keys"):
        BundleLogit.from_spec({**MODEL.to_spec(), "colour": 1})


def test_menus_people_and_given_pairs_pass_through():
    can = np.ones((3, 8), bool)
    can[1, 3] = False
    data = bundle_choices(
        ALL, [0, 1, 2], GOODS, pairs=[("c", "a")], sizes=True, available=can, person=[0, 0, 1], weight=[1, 1, 2]
    )
    assert data.columns == ("a", "b", "c", "a+c", "size:2", "size:3")  # not all pairs: sizes from two on
    assert not data.available[1, 3]
    assert (data.person.tolist(), data.weight.tolist()) == ([0, 0, 1], [1, 1, 2])
    random = ConditionalLogit((*GOODS, "a+c"), constants=False)  # what other models of choice take
    assert random.design(data).shape == (3, 8, 4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`tau`.*effective draws:RuntimeWarning")
def test_the_truth_is_recovered():
    data = simulate(1500, seed=4)
    posterior = fit(MODEL, data, draws=500, warmup=500, chains=4, target_accept=0.95, progress=False)
    z = np.array([(posterior.mean[n] - t) / posterior.sd[n] for n, t in zip(NAMES, TRUTH, strict=True)])
    assert np.abs(z).max() < 3.5
    assert posterior.diagnosis.table["r_hat"].max() < 1.02


@pytest.mark.parametrize("module", ["bundles", "bundle_logit"])
def test_examples_run(module):
    names = {"np": np, "jnp": jnp, "jax": jax}
    found = doctest.testmod(importlib.import_module(f"fairhand.models.choice.{module}"), extraglobs=names)
    assert found.failed == 0
    assert found.attempted > 0
