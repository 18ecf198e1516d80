"""Latent classes: the likelihood by hand, order that holds in every draw, one class as the logit, and who comes."""

import doctest
import importlib
import json
import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpyro.infer import Predictive
from numpyro.infer.util import log_density

from fairhand.inference import Posterior, fit
from fairhand.models import Items
from fairhand.models.choice import ChoiceData, ConditionalLogit, LatentClassLogit
from fairhand.models.choice._ordered import Ordered
from fairhand.models.weights import people_weights
from helpers import assert_close

NAMES = ("size", "price", "constant:a", "constant:b")
TRUTH = np.array([[-1.0, -2.0, 0.5, 0.0], [2.0, -0.5, -0.5, 0.3]])
SHARE = np.array([0.6, 0.4])
PLAIN = ConditionalLogit(("size", "price"))
COST = ConditionalLogit(("size", "price"), numeraire="price", unit="euro")


def simulate(people: int = 40, times: int = 6, seed: int = 0, **fields: Any) -> tuple[ChoiceData, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(people * times, 3, 2))
    kind, person = rng.choice(2, people, p=SHARE), np.repeat(np.arange(people), times)
    data = ChoiceData(x, np.zeros(people * times, int), ("a", "b", "c"), ("size", "price"), person=person, **fields)
    worth = np.einsum("sak,sk->sa", PLAIN.design(data), TRUTH[kind[person]])
    return data.changed(chosen=(worth + rng.gumbel(size=worth.shape)).argmax(1)), kind


DATA, KIND = simulate()
SITES = {"share": np.array([[0.3, 0.7], [0.5, 0.5]]), "coefficient": np.stack([TRUTH, TRUTH * 0.5])}
MODELS = {
    "first": LatentClassLogit(PLAIN),
    "constant": LatentClassLogit(PLAIN, classes=3, order_by="constant:b", concentration=2.0),
    "by cost": LatentClassLogit(COST, order_by="price"),
    "cost": LatentClassLogit(COST, order_by="size"),
    "cost first": LatentClassLogit(ConditionalLogit(("price", "size"), numeraire="price", constants=False)),
    "alone": LatentClassLogit(ConditionalLogit("size", constants=False)),
}


def by_hand(sites: Any, data: ChoiceData, d: int) -> np.ndarray:
    """Log of share times probability, `[people, classes]`, person by person."""
    design, out = PLAIN.design(data), []
    for i in range(len(data.people)):
        row = []
        for share, beta in zip(sites["share"][d], sites["coefficient"][d], strict=True):
            total = np.log(share)
            for s in np.flatnonzero((data.person == i) & (data.weight > 0)):
                worth = design[s] @ beta
                total += worth[data.chosen[s]] - scipy.special.logsumexp(worth[data.available[s]])
            row.append(total)
        out.append(row)
    return np.array(out)


def missing_some() -> ChoiceData:
    can = np.random.default_rng(1).random((240, 3)) < 0.8
    can[np.arange(240), DATA.chosen] = True
    shuffled = np.random.default_rng(2).permutation(240)  # a person's situations need not stand together
    fields = {"person": DATA.person[shuffled], "available": can[shuffled]}
    return ChoiceData(DATA.attributes[shuffled], DATA.chosen[shuffled], DATA.alternatives, DATA.columns, **fields)


def test_log_densities_and_memberships_are_those_by_hand(dtype):
    data = missing_some().changed(weight=np.where(np.arange(240) % 7 == 0, 0.0, 1.0))
    sites = {k: jnp.asarray(v, dtype) for k, v in SITES.items()}
    model = MODELS["first"]
    density, belongs = model.log_densities(sites, data), model.memberships(sites, data)
    assert (density.dtype, density.shape, belongs.shape) == (dtype, (2, 40), (2, 40, 2))
    for d in range(2):
        joint = by_hand(SITES, data, d)
        assert_close(density[d], scipy.special.logsumexp(joint, 1), loosen=20)
        assert_close(belongs[d], scipy.special.softmax(joint, 1), loosen=50)


def joint_density(model: Any, data: ChoiceData, values: Any) -> tuple[float, Any]:
    def fn(values, rest):
        density, trace = log_density(model.numpyro_model, rest, {}, values)
        return density, trace["coefficient"]["value"]

    with jax.numpy_rank_promotion("allow"):
        return jax.jit(fn)(values, tuple(jnp.asarray(a) for a in model.arguments(data)))


QUICK = ("constant", "cost")  # between them: three classes, ordered by no attribute; a numeraire beside the ordered one


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in MODELS])
def test_joint_density_is_prior_plus_weighted_likelihood(name):
    model = MODELS[name]
    data = DATA.changed(weight=np.repeat(np.linspace(0, 2, 40), 6))
    classes, logit = model.classes, model.logit
    names, width = logit.names(data.alternatives), 2.5
    start = model.start(data)
    rng = np.random.default_rng(0)
    values = {k: rng.normal(size=v.shape) for k, v in start.items() if k not in ("share", "order", "numeraire")}
    values |= {"order": np.sort(rng.normal(size=classes)), "share": rng.dirichlet(np.ones(classes))}
    values |= {"numeraire": rng.gamma(2.0, size=classes)} if "numeraire" in start else {}
    with jax.enable_x64(True):
        density, coefficient = joint_density(model, data, {k: jnp.asarray(v) for k, v in values.items()})
    by = model.order_by or names[0]
    # By hand: the coefficients in standard units, and independent priors times the number of ways to name classes.
    scale = logit.arguments(data)[-1]
    beta = np.asarray(coefficient) * scale
    rest = [n for n in names if n not in (by, logit.numeraire)]
    np.testing.assert_allclose(beta[:, [names.index(n) for n in rest]], values.get("beta", np.zeros((classes, 0))))
    if by != logit.numeraire:
        np.testing.assert_allclose(beta[:, names.index(by)], values["order"])
    assert np.all(np.diff(beta[:, names.index(by)]) > 0)
    expected = scipy.stats.dirichlet(np.full(classes, model.concentration)).logpdf(values["share"])
    expected += scipy.special.gammaln(classes + 1)
    cost = scipy.stats.norm(np.log(0.2 * width), 1.25)
    for k, n in enumerate(names):
        if n == logit.numeraire:
            log = np.log(-beta[:, k])
            expected += cost.logpdf(log).sum() - (0 if n == by else log.sum())
        else:
            expected += scipy.stats.norm(0, width).logpdf(beta[:, k]).sum()
    sites = {"share": values["share"][None], "coefficient": np.asarray(coefficient)[None]}
    with jax.enable_x64(True):
        each = np.asarray(model.log_densities(sites, data))[0]
    np.testing.assert_allclose(density, expected + people_weights(data) @ each, rtol=1e-9)


def test_one_class_is_the_conditional_logit():
    dtype = jnp.float32
    model = LatentClassLogit(COST, classes=1)
    data = DATA.changed(weight=np.repeat(np.linspace(0, 2, 40), 6))
    z = {"order": jnp.asarray([0.4], dtype), "beta": jnp.asarray([[0.3, -0.1]], dtype)}
    ours, coefficient = joint_density(model, data, z | {"numeraire": jnp.asarray([0.7], dtype)})
    logit = {"beta": jnp.asarray([0.4, 0.3, -0.1], dtype), "numeraire": jnp.asarray(0.7, dtype)}
    theirs, expected = joint_density(COST, data, logit)
    np.testing.assert_allclose(coefficient[0], expected, rtol=1e-6)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    sites = {"coefficient": jnp.asarray(TRUTH[:1], dtype)[None]}
    each = COST.log_densities({"coefficient": TRUTH[:1]}, DATA)[0]
    assert_close(model.log_densities(sites, DATA)[0], np.bincount(DATA.person, each), loosen=20)
    assert np.all(np.asarray(model.memberships(sites, DATA)) == 1)
    assert "share" not in model.start(DATA)
    assert list(model.scalars(sites, DATA)) == [f"{n}[1]" for n in NAMES]


def test_weights_count_people_several_times():
    people = np.repeat(np.arange(40), np.where(np.arange(40) < 10, 2, 1))
    rows = (people[:, None] * 6 + np.arange(6)).ravel()
    fields = {"person": np.repeat(np.arange(50), 6)}
    repeated = ChoiceData(DATA.attributes[rows], DATA.chosen[rows], DATA.alternatives, DATA.columns, **fields)
    weighted = DATA.changed(weight=np.repeat(np.where(np.arange(40) < 10, 2.0, 1.0), 6))
    model = MODELS["first"]
    z = {"share": jnp.asarray([0.3, 0.7]), "order": jnp.asarray([-1.0, 1.0]), "beta": jnp.ones((2, 3)) * 0.2}
    once, twice = model.arguments(weighted), model.arguments(repeated)
    value = joint_density(model, weighted, z)[0]
    scale = np.asarray(once[4])
    assert np.abs(scale / twice[4] - 1).max() < 0.1
    again = eqx.tree_at(lambda a: a[4], twice, scale)
    with jax.numpy_rank_promotion("allow"):
        fn = jax.jit(lambda rest: log_density(model.numpyro_model, rest, {}, z)[0])
        np.testing.assert_allclose(value, fn(tuple(jnp.asarray(a) for a in again)), rtol=1e-5)


def test_order_statistics_have_their_density(key):
    with jax.enable_x64(True):
        import numpyro.distributions as dist

        law = Ordered(dist.Normal(0.0, 1.0), 2)
        grid = np.linspace(-6, 6, 401)
        x, y = np.meshgrid(grid, grid, indexing="ij")
        density = np.where(x < y, np.exp(law.log_prob(jnp.asarray(np.stack([x, y], -1)))), 0)
        assert abs(density.sum() * (grid[1] - grid[0]) ** 2 - 1) < 0.02
        drawn = np.asarray(law.sample(key, (20_000,)))
        assert np.all(np.diff(drawn) > 0)
        assert abs(drawn[:, 1].mean() - 1 / np.sqrt(np.pi)) < 0.03  # the mean of the greater of two normals


@pytest.fixture(scope="module")
def posterior():
    with jax.numpy_rank_promotion("allow"):
        return fit(LatentClassLogit(COST, order_by="size"), DATA, method="map", draws=60, chains=2, progress=False)


pytestmark = pytest.mark.filterwarnings("ignore:.*(effective draws|R-hat|nearly flat|E-BFMI|diverged):RuntimeWarning")


def test_labels_are_ordered_in_every_draw(posterior):
    size = posterior.sites["coefficient"][..., 0]
    assert np.all(size[:, 0] < size[:, 1])
    assert np.all(posterior.sites["coefficient"][..., 1] < 0)  # nobody likes to pay
    assert posterior.names[0] == "share[1]"
    table = posterior.diagnosis.table
    assert np.all((TRUTH[:, 0] - table.loc[["size[1]", "size[2]"], "mean"]) < 4 * table.loc["size[2]", "sd"])


def test_posterior_survives_a_file(posterior, tmp_path):
    posterior.save(tmp_path / "p.nc")
    again = Posterior.load(tmp_path / "p.nc")
    assert again.model == posterior.model
    assert again.mean == posterior.mean
    assert posterior.log_likelihood().shape == (2, 60, 40)
    np.testing.assert_allclose(again.log_likelihood(), posterior.log_likelihood())
    assert again.inference_data(log_likelihood=True).log_likelihood["chosen"].dims == ("chain", "draw", "person")


def test_people_are_told_apart(posterior):
    belongs = np.asarray(posterior.model.memberships(posterior.sites, DATA)).mean(0)
    assert np.mean(belongs.argmax(1) == KIND) > 0.9
    share = posterior.mean["share[1]"]
    assert abs(share - np.mean(KIND == 0)) < 4 * posterior.sd["share[1]"]


def test_numbers_without_labels_do_not_change_with_names():
    model, other = MODELS["first"], {"share": SITES["share"][:, ::-1], "coefficient": SITES["coefficient"][:, ::-1]}
    ours, theirs = model.label_free(SITES, DATA), model.label_free(other, DATA)
    assert list(ours) == [f"{what}[{n}]" for n in NAMES for what in ("mean", "spread")] + ["log_likelihood"]
    for name, x in ours.items():
        assert x.shape == (2,)
        np.testing.assert_allclose(x, theirs[name], rtol=1e-5)
    np.testing.assert_allclose(ours["mean[size]"], (SITES["share"] * SITES["coefficient"][..., 0]).sum(1))


def test_the_search_begins_near_the_mode_whatever_orders_the_classes():
    large, _ = simulate(150, 8, seed=3)
    for model in (MODELS["first"], MODELS["by cost"], LatentClassLogit(PLAIN, order_by="constant:b")):
        start = model.start(large)
        share = np.append(scipy.special.expit(start["share"]), 0)[:1]  # two classes: stick-breaking is the logit
        assert min(abs(share - 0.6), abs(share - 0.4)) < 0.1
        assert model.start(large)["order"].tolist() == start["order"].tolist()  # no chance in it


@pytest.mark.parametrize("name", MODELS)
def test_spec_round_trip_through_json(name):
    model = MODELS[name]
    again = LatentClassLogit.from_spec(json.loads(json.dumps(model.to_spec())))
    assert again == model
    assert hash(again) == hash(model)
    assert again.numpyro_model == model.numpyro_model
    sizes = {k: len(v) for k, v in model.coords(DATA if model.logit.constants else DATA).items()}
    free = {"beta": (sizes["kind"], sizes["free_term"]), "order": (sizes["kind"],), "numeraire": (sizes["kind"],)}
    assert all(model.start(DATA)[k].shape == free[k] for k in model.start(DATA) if k != "share")


@pytest.mark.slow
def test_predicted_choices_have_the_mixtures_shares(key):
    model = MODELS["by cost"]
    few = ChoiceData(
        DATA.attributes[:4], DATA.chosen[:4], DATA.alternatives, DATA.columns, person=np.array([0, 0, 1, 1])
    )
    design, available, _, weight, scale, *rest = model.arguments(few)
    beta = TRUTH * scale
    cost = -np.log(-beta[:, 1])
    turn = np.argsort(cost)
    n = 4000
    fixed = {"order": cost[turn], "beta": beta[turn][:, [0, 2, 3]], "share": SHARE[turn]}
    fixed = {k: jnp.broadcast_to(jnp.asarray(v, jnp.float32), (n, *v.shape)) for k, v in fixed.items()}
    with jax.numpy_rank_promotion("allow"):
        drawn = Predictive(model.numpyro_model, fixed)(key, design, available, None, weight, scale, *rest)["chosen"]
    drawn = np.asarray(drawn)
    chance = scipy.special.softmax(np.einsum("sak,ck->csa", design, TRUTH), -1)
    share = np.einsum("c,csa->sa", SHARE, chance)
    found = np.stack([(drawn == j).mean(0) for j in range(3)], 1)
    assert np.abs((found - share) / np.sqrt(share * (1 - share) / n)).max() < 4
    both = np.einsum("c,ca,cb->ab", SHARE, chance[:, 0], chance[:, 1])  # one class for both choices of a person
    pair = np.histogram2d(drawn[:, 0], drawn[:, 1], bins=[np.arange(4) - 0.5] * 2)[0] / n
    assert np.abs((pair - both) / np.sqrt(both * (1 - both) / n)).max() < 4.5
    assert np.abs((pair - np.outer(share[0], share[1])) / np.sqrt(both * (1 - both) / n)).max() > 5


def test_replicates_and_probabilities_know_the_persons_class(key):
    n, model = 3000, MODELS["first"]
    few = ChoiceData(DATA.attributes[:12], DATA.chosen[:12], DATA.alternatives, DATA.columns, person=DATA.person[:12])
    sites = {"share": np.tile(SHARE, (n, 1)), "coefficient": np.tile(TRUTH, (n, 1, 1))}
    one = {k: v[:1] for k, v in sites.items()}
    belongs = np.asarray(model.memberships(one, few))[0, few.person]
    chance = scipy.special.softmax(np.einsum("sak,ck->csa", PLAIN.design(few), TRUTH), -1)
    share = np.einsum("sc,csa->sa", belongs, chance)
    np.testing.assert_allclose(model.choice_probabilities(one, few)[0], share, rtol=1e-4, atol=1e-6)
    drawn = np.asarray(model.replicate(sites, few, key=key))
    found = np.stack([(drawn == j).mean(0) for j in range(3)], 1)
    z = (found - share) / np.sqrt(np.maximum(share * (1 - share), 1e-9) / n)
    assert np.abs(np.where(share * n > 10, z, 0)).max() < 4


@eqx.filter_jit
def draw(world, key):
    return world.population(key)


def test_strangers_draw_a_class_first(key):
    n = 40_000
    sites = {"share": SHARE, "coefficient": TRUTH}
    world = MODELS["by cost"].worlds(sites, DATA, new=n, supply=Items())
    chance = scipy.special.softmax(np.einsum("sak,ck->csa", PLAIN.design(DATA), TRUTH), -1)
    share = np.einsum("c,csa->sa", SHARE, chance).mean(0)
    np.testing.assert_allclose(world.shares(), share, rtol=1e-4)
    people = draw(world, key)
    found = np.bincount(np.asarray(people.values).argmax(1), minlength=3) / n
    assert np.abs((found - share) / np.sqrt(share * (1 - share) / n)).max() < 4
    assert people.unit == "euro"
    # In units of each one's own numeraire: the classes' means over their own coefficients.
    mean = np.einsum("c,sak,ck->a", SHARE, PLAIN.design(DATA), TRUTH / -TRUTH[:, 1:2]) / 240
    mean = mean + 0.5772156649 * np.sum(SHARE / -TRUTH[:, 1])
    error = np.asarray(people.values).std(0) / np.sqrt(n)
    assert np.abs((np.asarray(people.values).mean(0) - mean) / error).max() < 4


@pytest.mark.parametrize("outside", [pytest.param(None, marks=pytest.mark.slow), "a"])
def test_same_people_would_choose_the_same(key, outside):
    model = MODELS["by cost"]
    sites = {"share": SHARE, "coefficient": TRUTH}
    world = model.worlds(sites, DATA, same=True, supply=Items(), outside=outside)
    assert world.serves_the_sample
    people = draw(world, key)
    order = [DATA.alternatives.index(a) for a in world.options]
    assert np.asarray(people.values).argmax(1).tolist() == [order.index(c) for c in DATA.chosen[5::6]]
    if outside:
        assert np.all(np.asarray(people.values)[:, -1] == 0)
    np.testing.assert_allclose(world.belongs, model.memberships({k: v[None] for k, v in sites.items()}, DATA)[0])
    assert world.shares().sum() == pytest.approx(1)


@pytest.mark.slow
def test_worlds_of_a_posterior_have_draws(posterior, key):
    for where in ({"new": 7}, {"same": True}):
        world = posterior.world(draws=3, supply=Items(), **where)
        assert world.num == 3
        each = jax.jit(jax.vmap(lambda i, w=world: w.one(i).population(key).values))(jnp.arange(3))
        assert each.shape == (3, 7 if "new" in where else 40, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 0}, "`classes` must be a whole number of at least 1, got 0"),
        ({"classes": 2.5}, "`classes` must be a whole number"),
        ({"concentration": 0.0}, "`concentration` must be positive"),
        ({"logit": ConditionalLogit("size", prior_scale=None)}, "`prior_scale` must be finite"),
        ({"logit": ConditionalLogit("size", population_shares={"a": 0.5, "b": 0.5})}, "`population_shares` correct"),
    ],
)
def test_bad_models_are_refused(arguments, message):
    from jaxtyping import config

    config.update("jaxtyping_disable", True)  # the annotations are checked in tests only, and would speak first
    try:
        with pytest.raises(ValueError, match=re.escape(message)):
            LatentClassLogit(**{"logit": PLAIN, **arguments})
    finally:
        config.update("jaxtyping_disable", False)
    with pytest.raises(ValueError, match="unknown keys"):
        LatentClassLogit.from_spec({**MODELS["first"].to_spec(), "colour": 1})


@pytest.mark.parametrize(
    ("data", "model", "message"),
    [
        (DATA, LatentClassLogit(PLAIN, order_by="colour"), "`order_by` must be one of the coefficients"),
        (
            ChoiceData(DATA.attributes, DATA.chosen, DATA.alternatives, DATA.columns),
            MODELS["first"],
            "nobody chooses twice, so classes cannot be told",
        ),
        (DATA.changed(weight=1.0 + np.arange(240)), MODELS["first"], "situation [0] has another `weight`"),
        (DATA, LatentClassLogit(ConditionalLogit(("size", "age"))), "has no attribute `age`"),
        (
            DATA.changed(attributes=DATA.attributes * [1.0, 0.0]),
            MODELS["first"],
            "Column `price` does not vary across the alternatives",
        ),
    ],
)
def test_data_that_do_not_fit_are_refused(data, model, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        model.identify(data)


def test_notes_say_what_the_data_cannot():
    last = "Each class is a logit of its own"
    notes = MODELS["first"].identify(simulate(60, 6)[0])
    assert len(notes) == 1
    assert notes[0].startswith(last)
    assert LatentClassLogit(PLAIN, classes=1).identify(DATA) == ()
    notes = LatentClassLogit(PLAIN, classes=5).identify(DATA)
    assert any("5 classes have 24 parameters, for 40 people" in n for n in notes)
    few = DATA.changed(weight=np.where((DATA.person < 3) & (np.arange(240) % 6 > 0), 0.0, 1.0))
    assert any("3 of 40 people chose once" in n for n in MODELS["first"].identify(few))
    alike, _ = simulate(60, 6)
    rare = np.where(alike.person == 0, (alike.chosen + 1) % 3, alike.attributes[..., 0].argmax(1))
    assert any("a class has" in n and "below 5%" in n for n in MODELS["alone"].identify(alike.changed(chosen=rare)))


@pytest.mark.slow
@pytest.mark.parametrize("logit", [PLAIN, COST], ids=["plain", "cost"])
def test_the_truth_is_recovered(logit):
    data, kind = simulate(300, 8, seed=5)
    posterior = fit(LatentClassLogit(logit, order_by="size"), data, draws=400, warmup=300, chains=4, progress=False)
    truth = {f"{n}[{c + 1}]": TRUTH[c, k] for c in range(2) for k, n in enumerate(NAMES)} | {"share[1]": 0.6}
    z = np.array([(posterior.mean[n] - t) / posterior.sd[n] for n, t in truth.items()])
    assert np.abs(z).max() < 3.5
    assert np.all(np.diff(posterior.sites["coefficient"][..., 0], axis=1) > 0)
    assert posterior.diagnosis.table["r_hat"].max() < 1.02
    assert posterior.diagnosis.sampler["divergences"] == 0
    belongs = np.asarray(posterior.model.memberships(posterior.thinned(50), data)).mean(0)
    assert np.mean(belongs.argmax(1) == kind) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("module", ["latent_class"])
def test_examples_run(module):
    names = {"np": np, "jnp": jnp, "jax": jax}
    found = doctest.testmod(importlib.import_module(f"fairhand.models.choice.{module}"), extraglobs=names)
    assert found.failed == 0
    assert found.attempted > 0
