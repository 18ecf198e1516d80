"""Models of social preferences: likelihoods by plain loops, one person by quadrature, signs, and who comes."""

import doctest
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpyro.infer.util import log_density

from fairhand.inference import Posterior, fit
from fairhand.models import Draws, Independent, Population, Roster, Uniform
from fairhand.models.social import (
    BruhinFehrSchunk,
    FehrSchmidt,
    HierarchicalBruhinFehrSchunk,
    HierarchicalFehrSchmidt,
    PreferenceTypes,
    SocialChoiceData,
)

RNG = np.random.default_rng(0)
PAYOFFS = RNG.uniform(0, 10, (60, 2, 3))
PAYOFFS[::2, :, 2] = np.nan  # two players, and three
KIND = np.arange(60) % 3 == 1
PERSON = np.array([0] * 10 + [1] * 30 + [2] * 20)[RNG.permutation(60)]  # unequal panels, in any order
DATA = SocialChoiceData.from_payoffs(
    PAYOFFS,
    RNG.integers(0, 2, 60),
    kind=KIND,
    unkind=np.arange(60) % 3 == 2,
    person=PERSON,
    people=["ann", "bob", "cy"],
)
NO_LAPSE = FehrSchmidt(lapse=None)


def utility_fs(s: int, o: int, alpha: float, beta: float) -> float:
    pay = PAYOFFS[s, o][~np.isnan(PAYOFFS[s, o])]
    return pay[0] - sum(alpha * max(x - pay[0], 0) + beta * max(pay[0] - x, 0) for x in pay[1:]) / (len(pay) - 1)


def utility_bfs(s: int, o: int, w: Any) -> float:
    """As the authors write it, with the average of the others, which two players need not."""
    pay = PAYOFFS[s, o][~np.isnan(PAYOFFS[s, o])]
    total = 0.0
    for other in pay[1:]:
        weight = w[0] * (other > pay[0]) + w[1] * (other < pay[0]) + w[2] * DATA.kind[s] + w[3] * DATA.unkind[s]
        total += (1 - weight) * pay[0] + weight * other
    return total / (len(pay) - 1)


def by_loops(utility: Any, weights: Any, precision: Any, lapse: float = 0.0) -> np.ndarray:
    """Log-probability of each choice; `weights` and `precision` by person."""
    out = []
    for s in range(60):
        w, lam = weights[PERSON[s]], precision[PERSON[s]]
        apart = utility(s, DATA.chosen[s], w) - utility(s, 1 - DATA.chosen[s], w)
        out.append(np.log((1 - lapse) / (1 + np.exp(-lam * apart)) + lapse / 2))
    return np.array(out)


def fs(s: int, o: int, w: Any) -> float:
    return utility_fs(s, o, *w[:2])


def test_likelihoods_are_those_of_plain_loops(dtype):
    lam = 0.7
    site = lambda x: jnp.asarray([x], dtype)
    log_lam = site(np.log(lam * DATA.scale))
    sites = {"alpha": site(0.3), "beta": site(-0.2), "log_precision": log_lam, "lapse": site(0.1)}
    found = FehrSchmidt().log_densities(sites, DATA)
    assert (found.shape, found.dtype) == ((1, 60), dtype)
    np.testing.assert_allclose(found[0], by_loops(fs, [(0.3, -0.2)] * 3, [lam] * 3, 0.1), rtol=1e-4)
    w = (0.2, 0.4, 0.3, -0.3)
    sites = dict(zip(("alpha", "beta", "gamma", "delta"), map(site, w), strict=True)) | {"log_precision": log_lam}
    found = BruhinFehrSchunk().log_densities(sites, DATA)
    np.testing.assert_allclose(found[0], by_loops(utility_bfs, [w] * 3, [lam] * 3), rtol=1e-4)
    known = BruhinFehrSchunk(lapse=0.05)
    np.testing.assert_allclose(
        known.log_densities(sites, DATA)[0], by_loops(utility_bfs, [w] * 3, [lam] * 3, 0.05), rtol=1e-4
    )
    # Another scale is another unit of the same precision.
    other = BruhinFehrSchunk(scale=4)
    sites |= {"log_precision": site(np.log(lam * 4))}
    np.testing.assert_allclose(
        other.log_densities(sites, DATA)[0], by_loops(utility_bfs, [w] * 3, [lam] * 3), rtol=1e-4
    )


OWN = np.array([[0.3, -0.2, 0.5], [-0.4, 0.6, 1.2], [1.0, 0.1, 0.2]])  # alpha, beta, precision per point


def hierarchical_sites(model: Any, draws: int = 1) -> dict[str, np.ndarray]:
    own = OWN.copy()
    own[:, 2] = np.log(own[:, 2] * DATA.scale)
    d = len(model.unit)
    return {
        "mean": np.zeros((draws, d)),
        "spread": np.ones((draws, d)),
        "correlation": np.tile(np.eye(d), (draws, 1, 1)),
        "taste": np.tile(own / model.unit, (draws, 1, 1)),
    }


def test_people_have_weights_of_their_own():
    with jax.enable_x64(True):
        model = HierarchicalFehrSchmidt()
        sites = hierarchical_sites(model)
        expected = by_loops(fs, OWN, OWN[:, 2])
        np.testing.assert_allclose(np.asarray(model.log_densities(sites, DATA))[0], expected, rtol=1e-10)
        each = model.person_log_likelihood(jnp.asarray(sites["taste"][0]), (), *map(jnp.asarray, model.arguments(DATA)))
        np.testing.assert_allclose(each, np.bincount(PERSON, expected), rtol=1e-10)
        np.testing.assert_allclose(model.coefficients(sites, DATA)[0], OWN)
        chance = np.asarray(model.choice_probabilities(sites, DATA))[0]
        np.testing.assert_allclose(chance[np.arange(60), DATA.chosen], np.exp(expected), rtol=1e-9)
        np.testing.assert_allclose(chance.sum(-1), 1)


def test_types_are_summed_out():
    weight = np.array([[0.3, -0.2, 0.0, 0.1], [-0.1, 0.5, 0.3, -0.2]])
    lam, share = np.array([0.4, 1.1]), np.array([0.3, 0.7])
    sites = {"share": share[None], "weight": weight[None], "log_precision": np.log(lam * DATA.scale)[None]}
    model = PreferenceTypes()
    by_type = [by_loops(utility_bfs, [w] * 3, [p] * 3) for w, p in zip(weight, lam, strict=True)]
    joint = np.stack([np.log(p) + np.bincount(PERSON, x) for p, x in zip(share, by_type, strict=True)], -1)
    with jax.enable_x64(True):
        np.testing.assert_allclose(model.log_densities(sites, DATA)[0], scipy.special.logsumexp(joint, 1), rtol=1e-9)
        belongs = scipy.special.softmax(joint, 1)
        np.testing.assert_allclose(model.memberships(sites, DATA)[0], belongs, rtol=1e-8)
        chance = np.asarray(model.choice_probabilities(sites, DATA))[0]
        took = np.exp(np.stack(by_type, -1))
        np.testing.assert_allclose(chance[np.arange(60), DATA.chosen], (took * belongs[PERSON]).sum(1), rtol=1e-8)
        start = {k: jnp.asarray(v) for k, v in model.start(DATA).items()}
        assert np.isfinite(np.concatenate([np.ravel(x) for x in start.values()])).all()


@pytest.mark.slow
def test_one_persons_posterior_is_that_of_quadrature():
    """Mean and deviation of NUTS's draws of α, β and log λ of one person, against a grid over all three."""
    one = DATA.where(DATA.person == 1)
    posterior = fit(NO_LAPSE, one, draws=1000, warmup=200, chains=4, contraction=False, progress=False)
    axes = np.linspace(-2.2, 3.0, 79), np.linspace(-2.0, 2.6, 79), np.linspace(-4.5, 4.5, 61)
    a, b, lam = (x.ravel() for x in np.meshgrid(*axes, indexing="ij"))
    sign = np.where(one.chosen == 0, 1, -1)
    apart = [sign * (x[:, 0] - x[:, 1]) / one.scale for x in (one.own, one.behind, one.ahead)]
    log = scipy.stats.norm.logpdf(a, 0.4, 0.5) + scipy.stats.norm.logpdf(b, 0.3, 0.4) + scipy.stats.norm.logpdf(lam)
    for own, behind, ahead in zip(*apart, strict=True):
        log += scipy.special.log_expit(np.exp(lam) * (own - a * behind - b * ahead))
    p = np.exp(log - log.max())
    p /= p.sum()
    assert p.reshape(79, 79, 61)[[0, -1]].sum() < 1e-6
    assert p.reshape(79, 79, 61)[:, [0, -1]].sum() < 1e-6
    for name, x in (("alpha", a), ("beta", b), ("log_precision", lam)):
        mean, sd = p @ x, np.sqrt(p @ x**2 - (p @ x) ** 2)
        drawn = posterior.sites[name]
        assert abs(drawn.mean() - mean) < 0.08 * sd, name
        assert drawn.std() == pytest.approx(sd, rel=0.06), name


def test_priors_and_likelihood_make_the_joint_density(relaxed_ranks):
    model = BruhinFehrSchunk(lapse=(2.0, 5.0), alpha=(0.1, 0.2))
    values = {"alpha": 0.2, "beta": 0.4, "gamma": 0.3, "delta": -0.3, "log_precision": 0.5, "lapse": 0.1}
    with jax.enable_x64(True):
        args = tuple(map(jnp.asarray, model.arguments(DATA)))
        found = log_density(model.numpyro_model, args, {}, {k: jnp.asarray(v) for k, v in values.items()})[0]
    w = [values[n] for n in ("alpha", "beta", "gamma", "delta")]
    expected = by_loops(utility_bfs, [w] * 3, [np.exp(0.5) / DATA.scale] * 3, 0.1).sum()
    for name, law in (("alpha", (0.1, 0.2)), ("beta", (0.3, 0.4)), ("gamma", (0, 0.3)), ("delta", (0, 0.3))):
        expected += scipy.stats.norm.logpdf(values[name], *law)
    expected += scipy.stats.norm.logpdf(0.5) + scipy.stats.beta.logpdf(0.1, 2, 5)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_simulated_choices_have_their_chances(key):
    model = FehrSchmidt(lapse=0.2)
    sites = {"alpha": jnp.asarray(0.3), "beta": jnp.asarray(0.2), "log_precision": jnp.asarray(0.6)}
    own, feature = model.arguments(DATA)
    many = jax.vmap(lambda k: model.simulate(sites, (jnp.asarray(own), jnp.asarray(feature)), key=k)[0])(
        jax.random.split(key, 4000)
    )
    stays = np.asarray((many == own[None]).mean(0))
    expected = np.exp(np.asarray(model.log_densities({k: x[None] for k, x in sites.items()}, DATA))[0])
    assert np.abs((stays - expected) / np.sqrt(expected * (1 - expected) / 4000)).max() < 4.5


# Who comes.

VALUES = np.arange(12.0).reshape(3, 4) + 1


def test_the_same_people_bring_their_own_weights_with_fehr_and_schmidts_sign(key):
    for model, sign in ((HierarchicalFehrSchmidt(), 1), (HierarchicalBruhinFehrSchunk(), -1)):
        sites = hierarchical_sites(model, draws=2) if sign == 1 else None
        if sites is None:
            sites = {
                "mean": np.zeros((2, 5)),
                "spread": np.ones((2, 5)),
                "correlation": np.tile(np.eye(5), (2, 1, 1)),
                "taste": np.tile(np.concatenate([OWN[:, :2], np.zeros((3, 3))], 1) / model.unit, (2, 1, 1)),
            }
        world = model.worlds(sites, DATA, same=True, values=VALUES, unit="marks")
        assert (world.num, world.serves_the_sample) == (2, True)
        people = world.one(1).population(key)
        np.testing.assert_allclose(people.alpha, sign * OWN[:, 0], rtol=1e-6)
        np.testing.assert_allclose(people.beta, OWN[:, 1], rtol=1e-6)
        np.testing.assert_array_equal(people.values, VALUES)
        assert people.unit == "marks"
        (profile, chance) = world.one(0).profiles()
        assert profile.alpha.shape == (1, 3)
        assert chance.tolist() == [1.0]


def test_strangers_have_the_law_of_people(key):
    model = HierarchicalBruhinFehrSchunk()
    lower = np.linalg.cholesky(np.eye(5) * 0.5 + 0.5)
    mean, spread = np.array([0.3, 0.8, 0.0, 0.0, 0.0]), np.array([1.0, 0.5, 1.0, 1.0, 1.0])
    sites = {"mean": mean[None], "spread": spread[None], "correlation": lower[None]}
    sites["taste"] = np.zeros((1, 3, 5))
    world = model.worlds(sites, DATA, new=40_000, values=Independent(Uniform(), 40_000, 2))
    people = world.one(0).population(key)
    alpha, beta = np.asarray(people.alpha), np.asarray(people.beta)
    unit = model.unit
    assert alpha.mean() == pytest.approx(
        -0.3 * unit[0], abs=0.01
    )  # the authors' altruism is the others' negative aversion
    assert beta.mean() == pytest.approx(0.8 * unit[1], abs=0.01)
    assert alpha.std() == pytest.approx(unit[0], rel=0.02)
    assert beta.std() == pytest.approx(0.5 * unit[1], rel=0.02)
    assert np.corrcoef(alpha, beta)[0, 1] == pytest.approx(-0.5, abs=0.02)
    assert not world.serves_the_sample


def test_alike_people_and_types(key):
    sites = {"alpha": np.array([0.1, 0.2]), "beta": np.array([0.3, 0.4]), "log_precision": np.zeros(2)}
    world = NO_LAPSE.worlds(sites, DATA, new=3, values=VALUES)
    people = world.one(1).population(key)
    np.testing.assert_allclose(people.alpha, [0.2] * 3, rtol=1e-6)
    weight = np.array([[[0.5, -0.1, 0, 0], [-0.3, 0.6, 0, 0]]])
    sites = {"share": np.array([[0.25, 0.75]]), "weight": weight, "log_precision": np.zeros((1, 2))}
    many = PreferenceTypes().worlds(sites, DATA, new=20_000, values=np.ones((20_000, 1))).one(0).population(key)
    kind = np.asarray(many.kind)
    assert kind.mean() == pytest.approx(0.75, abs=0.015)
    np.testing.assert_allclose(many.alpha, np.array([-0.5, 0.3])[kind], rtol=1e-6)
    np.testing.assert_allclose(many.beta, np.array([-0.1, 0.6])[kind], rtol=1e-6)
    same = PreferenceTypes().worlds(sites, DATA, same=True, values=VALUES)
    belongs = np.asarray(PreferenceTypes().memberships(sites, DATA))[0]
    drawn = jax.vmap(lambda k: same.one(0).population(k).kind)(jax.random.split(key, 4000))
    np.testing.assert_allclose(drawn.mean(0), belongs[:, 1], atol=0.03)


def test_a_posterior_of_values_is_paired_with_the_draws(key):
    sites = {"alpha": np.arange(4.0), "beta": np.zeros(4), "log_precision": np.zeros(4)}
    values = Draws.of(Independent(Uniform(np.arange(8.0), np.arange(8.0) + 1), 3, 2), lambda w: [w.law.low, w.law.high])
    world = NO_LAPSE.worlds(sites, DATA, new=3, values=values)
    assert world.num == 4
    for d, low in enumerate(np.linspace(0, 7, 4).round()):
        people = world.one(d).population(key)
        assert np.all((people.values >= low) & (people.values <= low + 1))
        np.testing.assert_allclose(people.alpha, d)
    batched = jax.vmap(lambda d: world.one(d).population(key).alpha)(jnp.arange(4))
    np.testing.assert_allclose(batched[:, 0], np.arange(4))


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"values": VALUES}, "say either `new="),
        ({"values": VALUES, "new": 3, "same": True}, "say either `new="),
        ({"same": True}, "`values` is missing"),
        ({"values": VALUES[:2], "same": True}, "of 2 agents, and 3 come"),
        ({"values": VALUES, "new": 5}, "of 3 agents, and 5 come"),
        ({"values": VALUES[0], "same": True}, r"must be numbers \[agents, items\]"),
        ({"values": Roster(Population(VALUES)), "same": True, "unit": "marks"}, "are said by the world"),
        ({"values": Roster(Population(VALUES, alpha=np.ones(3))), "same": True}, "`alpha` or `beta` already"),
    ],
)
def test_worlds_that_make_no_sense_are_refused(where, said):
    sites = {"alpha": np.zeros(2), "beta": np.zeros(2), "log_precision": np.zeros(2)}
    with pytest.raises(ValueError, match=said):
        NO_LAPSE.worlds(sites, DATA, **where)


MODELS = {
    "fs": FehrSchmidt(),
    "bfs": BruhinFehrSchunk(lapse=0.02, scale=3, reciprocity=False),
    "people": HierarchicalFehrSchmidt(FehrSchmidt(beta=(0, 1)), correlated=False, spread=(1, 2, 3)),
    "more people": HierarchicalBruhinFehrSchunk(),
    "types": PreferenceTypes(BruhinFehrSchunk(lapse=(1, 9)), types=3, concentration=2),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_go_to_plain_values_and_back(name):
    import json

    model = MODELS[name]
    again = type(model).from_spec(json.loads(json.dumps(model.to_spec())))
    assert again == model
    assert hash(again) == hash(model)
    with pytest.raises(ValueError, match="unknown keys"):
        type(model).from_spec(model.to_spec() | {"nothing": 1})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FehrSchmidt(alpha=(0.4, 0.0)), "`alpha` must be the mean and the positive standard deviation"),
        (lambda: FehrSchmidt(beta=0.3), "`beta` must be"),
        (lambda: FehrSchmidt(lapse=1.5), "`lapse` must be None"),
        (lambda: FehrSchmidt(lapse=(1, 0)), "`lapse` must be None"),
        (lambda: FehrSchmidt(scale=0), "`scale` must be positive"),
        (lambda: HierarchicalFehrSchmidt(BruhinFehrSchunk()), "`preferences` must be a `FehrSchmidt`"),
        (lambda: HierarchicalFehrSchmidt(spread=(1.0, 2.0)), "`spread` must be a positive number for each"),
        (lambda: PreferenceTypes(types=0), "`types` must be"),
        (lambda: PreferenceTypes(concentration=0), "`concentration` must be positive"),
        (lambda: PreferenceTypes(FehrSchmidt()), "`preferences` must be a `BruhinFehrSchunk`"),
    ],
)
def test_bad_models_are_refused_by_name(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_posterior_is_saved_loaded_and_asked(tmp_path):
    posterior = fit(NO_LAPSE, DATA, method="map", draws=30, contraction=False, progress=False)
    path = tmp_path / "social.nc"
    posterior.save(path)
    again = Posterior.load(path)
    assert again.model == posterior.model
    assert again.data.sha256 == DATA.sha256
    assert again.world(draws=5, same=True, values=VALUES).num == 5
    table = posterior.check(draws=40).table
    assert {"takes more", "sd of people"} <= set(table.index)
    assert posterior.predictive(draws=7)["chosen"].shape == (1, 7, 60)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["fehr_schmidt", "bruhin_fehr_schunk", "people", "types", "acceptable_offers"])
def test_examples_run(module):
    found = doctest.testmod(importlib.import_module(f"fairhand.models.social.{module}"))
    assert found.failed == 0
    assert found.attempted > 0
