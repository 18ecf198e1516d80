"""Posteriors of value laws: against conjugate and SciPy answers, what they refuse, and the worlds and laws they give."""

import doctest
import importlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats

import fairhand as fh
from fairhand.inference._density import density
from fairhand.mechanisms import metrics
from fairhand.mechanisms.picking import PickR
from fairhand.models import Draws, ratings
from fairhand.models.choice import ChoiceData, ConditionalLogit
from fairhand.models.ratings import CommonLaw, CorrelatedLaws, HierarchicalLaw, NoisyRatings, RatingData

KEY = jax.random.key(0)
SHAPE, RATE = 2.0, 1.0
GAMMA = CommonLaw("power", prior={"exponent": dist.Gamma(SHAPE, RATE)})
PAST = RatingData(np.random.default_rng(7).random((4, 10)) ** (1 / 2.5))
EXACT = scipy.stats.gamma(SHAPE + 40, scale=1 / (RATE - np.log(PAST.values).sum()))
pytestmark = pytest.mark.filterwarnings("ignore:`.*(effective draws|R-hat):RuntimeWarning")  # few draws on purpose


def quick(model, data, draws=25, **more):
    return fh.fit(model, data, key=KEY, method="map", draws=draws, progress=False, **more)


@pytest.fixture
def rng():
    return np.random.default_rng(8)


@pytest.fixture(scope="module")
def conjugate():
    return fh.fit(GAMMA, PAST, key=KEY, draws=500, warmup=200, chains=4, progress=False)


# The conjugate law: Power(a) with a gamma prior.


def test_the_density_is_the_gamma_law_of_the_conjugate_posterior():
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        target = density(GAMMA, GAMMA.start(PAST), jnp.dtype("float64"))
        z = np.log(np.array([0.5, 1.0, 2.0, 4.0, 8.0]))
        found = [-float(target.potential(jnp.array([x]), tuple(map(jnp.asarray, GAMMA.arguments(PAST))))) for x in z]
    expected = EXACT.logpdf(np.exp(z)) + z
    np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=1e-10)


@pytest.mark.slow
def test_draws_are_those_of_the_conjugate_posterior(conjugate):
    draws, row = conjugate.scalars["exponent"], conjugate.diagnosis.table.loc["exponent"]
    assert row["r_hat"] < 1.02
    assert conjugate.diagnosis.sampler["divergences"] == 0
    assert abs(draws.mean() - EXACT.mean()) < 4 * row["mc_error"]
    assert abs(draws.std() / EXACT.std() - 1) < 4 / np.sqrt(2 * row["ess_bulk"])
    for level in (0.05, 0.25, 0.5, 0.75, 0.95):
        below = (draws <= EXACT.ppf(level)).mean()
        assert abs(below - level) < 4 * np.sqrt(level * (1 - level) / min(row["ess_bulk"], row["ess_tail"]))


def test_another_prior_would_have_been_noticed(conjugate):
    other = scipy.stats.gamma(SHAPE + 60, scale=EXACT.kwds["scale"])
    row = conjugate.diagnosis.table.loc["exponent"]
    assert abs(conjugate.mean["exponent"] - other.mean()) > 10 * row["mc_error"]


def test_the_posterior_is_a_law_with_draws_and_a_world(conjugate):
    law = conjugate.law()
    np.testing.assert_array_equal(law.exponent, conjugate.scalars["exponent"])
    assert conjugate.law(draws=7).exponent.shape == (7,)
    worlds = conjugate.world(agents=2, items=9, draws=5)
    assert isinstance(worlds, Draws)
    assert (worlds.num, worlds.serves_the_sample) == (5, False)
    assert worlds.one(3).population(KEY).values.shape == (2, 9)


def test_the_people_in_the_data_keep_the_values_they_stated(conjugate):
    gap = RatingData(np.where(np.eye(4, 10, dtype=bool), np.nan, PAST.ratings))
    sites = {"exponent": conjugate.scalars["exponent"][:50]}
    with jax.enable_x64(True):
        world = GAMMA.worlds(sites, gap, same=True, key=KEY)
        values = np.asarray(world.varying.people.values)
    assert world.serves_the_sample
    np.testing.assert_allclose(values[:, gap.rated], np.broadcast_to(gap.values[gap.rated], (50, 36)))
    missing = values[:, ~gap.rated]
    assert missing.std(0).min() > 0.1
    assert scipy.stats.kstest(missing.ravel(), lambda x: (x[:, None] ** sites["exponent"]).mean(1)).pvalue > 1e-3
    met = GAMMA.worlds(sites, gap, same=True, items=6)
    assert met.serves_the_sample
    assert met.one(0).population(KEY).values.shape == (4, 6)


def test_a_rule_is_carried_through_the_posterior(conjugate):
    outcome = fh.propagate(
        PickR([0.4, 0.6]),
        conjugate.world(agents=2, items=10, draws=8),
        [metrics.welfare, metrics.envy_free],
        key=KEY,
        populations=4,
        progress=False,
    )
    assert outcome.data["welfare"].sizes["draw"] == 8
    share = outcome.data["envy_free"].values
    assert set(np.unique(share)) <= {0.0, 1.0}


def test_a_saved_posterior_opens_the_same(conjugate, tmp_path):
    conjugate.save(tmp_path / "posterior.nc")
    opened = fh.load(tmp_path / "posterior.nc")
    assert opened.model == GAMMA
    assert opened.data.sha256 == PAST.sha256
    np.testing.assert_array_equal(opened.scalars["exponent"], conjugate.scalars["exponent"])
    assert opened.diagnosis.table.equals(conjugate.diagnosis.table)


def test_derived_variables_join_the_posterior_for_arviz(conjugate):
    a = conjugate.law().exponent
    found = conjugate.inference_data(log_likelihood=True, derived={"top": a / (a + 1), "pair": np.stack([a, -a], 1)})
    assert found.posterior["top"].shape == (4, 500)
    np.testing.assert_array_equal(
        found.posterior["top"], found.posterior["exponent"] / (found.posterior["exponent"] + 1)
    )
    np.testing.assert_array_equal(found.posterior["pair"][..., 1], -found.posterior["exponent"])
    assert found.log_likelihood["rating"].shape == (4, 500, 40)
    with pytest.raises(ValueError, match=r"`derived\['top'\]` must have one entry for each of the 2000 draws"):
        conjugate.inference_data(derived={"top": a[:10]})
    with pytest.raises(ValueError, match=r"`derived\['exponent'\]` is the name of a parameter"):
        conjugate.inference_data(derived={"exponent": a})


def test_predicted_quantiles_fit_the_right_model_and_refute_a_wrong_one(conjugate, rng):
    right = ratings.quantile_check(conjugate, key=KEY)
    assert right.p_value.min() > 0.02
    assert np.all((right.low <= right.observed) & (right.observed <= right.high))
    two = np.where(rng.random((4, 10)) < 0.5, 0.05, 0.95) + 0.04 * rng.random((4, 10))
    wrong = ratings.quantile_check(quick(GAMMA, RatingData(two)), key=KEY, levels=(0.25, 0.75))
    assert wrong.p_value.min() < 0.01
    with pytest.raises(ValueError, match="`levels` must lie between 0 and 1"):
        ratings.quantile_check(conjugate, key=KEY, levels=(0.0, 0.5))


# Likelihoods of the other models, against SciPy.

GIVEN = np.array([[0.2, 0.9, 0.6, 0.3], [0.5, 0.4, np.nan, 0.7]])
TWO = RatingData(GIVEN)
MEAN, SIZE = np.array([0.3, 0.6]), np.array([5.0, 2.0])
SHAPES = [(m * k, (1 - m) * k) for m, k in zip(MEAN, SIZE, strict=True)]


@pytest.fixture
def wide():
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        yield


def test_log_densities_of_a_common_law(wide):
    found = CommonLaw("beta").log_densities({"mean": MEAN, "concentration": SIZE}, TWO)
    expected = [scipy.stats.beta(a, b).logpdf(TWO.values[TWO.rated]) for a, b in SHAPES]
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # NumPyro's beta function is good to 1e-7


def test_log_densities_of_laws_by_agent(wide):
    found = HierarchicalLaw("beta").log_densities({"mean": MEAN[None], "concentration": SIZE[None]}, TWO)
    each = [scipy.stats.beta(a, b).logpdf(row[np.isfinite(row)]) for (a, b), row in zip(SHAPES, GIVEN, strict=True)]
    np.testing.assert_allclose(found[0], np.concatenate(each), rtol=1e-6)


def test_log_densities_of_correlated_laws_integrate_out_who_stated_nothing(wide):
    exponent, tie = np.array([2.0, 0.7]), np.array([[1.0, 0.6], [0.6, 1.0]])
    sites = {"exponent": exponent[None], "correlation": tie[None]}
    found = np.asarray(CorrelatedLaws("power").log_densities(sites, TWO))[0]
    laws = [scipy.stats.beta(a, 1) for a in exponent]
    z = np.stack([scipy.stats.norm.ppf(law.cdf(row)) for law, row in zip(laws, GIVEN, strict=True)])
    own = np.stack([law.logpdf(row) - scipy.stats.norm.logpdf(s) for law, row, s in zip(laws, GIVEN, z, strict=True)])
    expected = scipy.stats.multivariate_normal([0, 0], tie).logpdf(z.T) + own.sum(0)
    expected[2] = laws[0].logpdf(GIVEN[0, 2])
    np.testing.assert_allclose(found, expected, rtol=1e-9)


STARS = RatingData(np.array([[1, 2, 5, 4, np.nan], [3, 3, 4, 2, 5]]), steps=range(1, 6))


@pytest.mark.slow
def test_rounded_ratings_replicate_in_the_shares_of_their_probabilities(wide):
    model, draws = NoisyRatings("power", noise=0.8), 4000
    sites = {"exponent": np.full(draws, 2.0)}
    each = np.exp(np.asarray(model.log_densities({"exponent": np.array([2.0])}, STARS))[0])
    share = {int(k): p for k, p in zip(STARS.step, each, strict=True)}
    again = np.asarray(model.replicate(sites, STARS, key=KEY))
    assert again.shape == (draws, 9)
    counts = np.array([(again == k + 1).sum() for k in range(5)])
    expected = np.array([share[k] for k in range(5)])
    np.testing.assert_allclose(expected.sum(), 1, rtol=1e-12)
    assert scipy.stats.chisquare(counts, expected * again.size).pvalue > 1e-3
    drawn = np.asarray(model.values(sites, STARS, key=KEY))
    assert drawn.shape == (draws, 2, 5)
    assert drawn[:, 0, 2].mean() > drawn[:, 1, 0].mean() > drawn[:, 0, 0].mean()  # 5, 3 and 1 star
    exact = NoisyRatings("power", noise=0.0)
    within = np.asarray(exact.values(sites, STARS, key=KEY))[:, 0, 2]
    assert np.all((within >= 0.8) & (within <= 1))
    plain = np.exp(np.asarray(exact.log_densities({"exponent": np.array([2.0])}, STARS))[0])
    np.testing.assert_allclose(plain, np.diff(np.linspace(0, 1, 6) ** 2)[STARS.step], rtol=1e-12)


# Fits of the other models; how well they recover what made the data is asked in `test_ratings_recovery`.


@pytest.mark.slow
def test_agents_who_said_little_are_drawn_to_the_others(rng):
    exponent = np.array([1.0, 1.2, 1.4, 1.6, 6.0])
    given = rng.random((5, 30)) ** (1 / exponent[:, None])
    given[4, 2:] = np.nan
    posterior = quick(HierarchicalLaw("power"), RatingData(given))
    own = -2 / np.log(given[4, :2]).sum()  # the maximum of the agent's own likelihood
    assert own > posterior.mean["exponent[4]"] > posterior.mean["exponent[0]"]
    laws = posterior.law()
    assert [law.exponent.shape for law in laws] == [(100,)] * 5
    new = posterior.world(agents=3, items=6, draws=10)
    assert (new.serves_the_sample, new.one(2).population(KEY).values.shape) == (False, (3, 6))
    same = posterior.world(same=True, items=6, draws=10)
    assert (same.serves_the_sample, same.one(2).population(KEY).values.shape) == (True, (5, 6))
    assert posterior.groups["posterior"]["exponent"].dims == ("chain", "draw", "agent")


@pytest.mark.slow
def test_correlated_agents_give_joint_values(rng):
    z = np.linalg.cholesky([[1.0, 0.8], [0.8, 1.0]]) @ rng.normal(size=(2, 60))
    given = scipy.stats.norm.cdf(z) ** np.array([[1.0], [0.5]])
    given[0, :4] = np.nan
    posterior = quick(CorrelatedLaws("power"), RatingData(given, agents=("ann", "bob")))
    assert abs(posterior.mean["correlation[ann,bob]"] - 0.8) < 4 * posterior.sd["correlation[ann,bob]"]
    joint = ratings.joint_values(posterior, key=KEY, each=20)
    assert joint.shape == (2000, 2)
    assert abs(scipy.stats.spearmanr(joint).statistic - 0.786) < 0.12  # of a copula with 0.8: 6/π asin(0.4)
    values = np.asarray(posterior.world(same=True, draws=20).varying.people.values)
    np.testing.assert_allclose(values[:, np.isfinite(given)], np.broadcast_to(given[np.isfinite(given)], (20, 116)))
    with pytest.raises(ValueError, match="knows how these agents go together and no others"):
        posterior.world(agents=2, items=3)


@pytest.mark.slow
def test_latent_values_go_through_a_rule(rng):
    latent = rng.random((2, 12)) ** 0.5
    stars = np.clip(np.round(0.5 + 5 * latent + 0.3 * rng.normal(size=latent.shape)), 1, 5)
    posterior = quick(NoisyRatings("power", noise=0.3), RatingData(stars, steps=range(1, 6)))
    questions = {
        "wins": lambda p, a: a.shares,
        "envy_free": metrics.envy_free,
        "welfare": metrics.welfare,
        "best": metrics.first_best,
    }
    world = posterior.world(same=True, draws=40)
    outcome = fh.propagate(PickR([0.5, 0.5]), world, questions, key=KEY, populations=1, progress=False)
    wins = outcome.data["wins"].values.reshape(-1, 2, 12).mean(0)  # P(item j goes to i), given the stars
    np.testing.assert_allclose(wins.sum(0), 1)
    np.testing.assert_allclose(wins.sum(1), 6)
    assert wins[0, stars[0].argmax()] > wins[0, stars[0].argmin()]
    assert 0 <= float(outcome.data["envy_free"].mean()) <= 1
    assert np.all(outcome.data["best"].values >= outcome.data["welfare"].values - 1e-12)


# What is refused, and what is said.

SENTENCE = "Rankings alone say nothing about a common continuous law."
NOISELESS = NoisyRatings("beta", noise=0.0)
LATIN = [[0.1, np.nan, 0.3, np.nan, 0.2], [np.nan, 0.2, 0.4, 0.5, 0.1]]


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (GAMMA, ChoiceData(np.zeros((2, 2, 1)), np.array([0, 1]), ("a", "b"), ("x",)), SENTENCE),
        (GAMMA, STARS, "`steps` say that ratings are rounded, and CommonLaw takes them as exact: fit `NoisyRatings`"),
        (GAMMA, RatingData([[0.0, 0.5, 0.2, 0.3, 0.4]]), "item `0` by agent `0` is 0, an end of `scale` (0.0, 1.0)"),
        (CommonLaw(), RatingData([[0.1, 0.5, 0.2, 0.3, 1.0]]), "item `4` by agent `0` is 1, an end of `scale`"),
        (HierarchicalLaw(), RatingData([[0.1, 0.5, 0.2, 0.3, 0.4]]), "has ratings of one agent only"),
        (CorrelatedLaws(), RatingData([[0.1, 0.5, 0.2, 0.3, 0.4]]), "has one agent, who is correlated with nobody"),
        (CorrelatedLaws(), RatingData(LATIN), "agents `0` and `1` both rated 2 items, too few"),
        (
            CorrelatedLaws(),
            RatingData([[0.1, 0.5, 0.2, 0.3], [0.4, 0.4, 0.4, 0.4]]),
            "agent `1` gave no two different ratings",
        ),
        (NOISELESS, TWO, "has no `steps` and `noise` is 0: such ratings are the values; fit `CommonLaw`"),
        (
            NOISELESS,
            RatingData([[0, 1, 1, 0, 1]], steps=(0, 1)),
            "2 different steps tell 1 number, and the family 'beta' has 2",
        ),
        ("a model", TWO, "`model` must be a model of `fairhand.models`"),
    ],
)
def test_what_cannot_be_learned_is_refused(model, data, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        fh.fit(model, data, progress=False)


def test_what_no_data_can_tell_is_noted():
    notes = " ".join(NoisyRatings("power").identify(RatingData([[1, 2, 3, 3, 1, 1]], steps=(1, 2, 3))))
    assert "A rating of 0.5, the low end of the scale, is taken to be worth nothing" in notes
    assert "decides how large" not in notes
    assert "the prior decides how large" in " ".join(
        NoisyRatings("beta").identify(RatingData([[1, 2, 3, 3, 1, 1]], steps=(1, 2, 3)))
    )
    tied = " ".join(CommonLaw().identify(RatingData([[0.2, 0.2, 0.4, 0.4, 0.4], [0.2, 0.4, 0.2, 0.4, 0.2]])))
    assert "10 ratings take only 2 values, and a continuous law has no ties" in tied
    silent = " ".join(CommonLaw().identify(RatingData([[0.2, 0.3, 0.4, 0.5, 0.1], [np.nan] * 5])))
    assert "Agents 1 rated nothing" in silent


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CommonLaw("gaussian"), "`family` must be one of 'beta', 'power'"),
        (
            lambda: CommonLaw("power", {"a": dist.Gamma(1.0, 1.0)}),
            "`prior` names `a`, but the family 'power' has `exponent`",
        ),
        (lambda: CommonLaw("power", {"exponent": dist.Normal(0.0, 1.0)}), "`prior` of `exponent` lives on"),
        (lambda: CommonLaw("power", {"exponent": dist.Poisson(1.0)}), "`prior` of `exponent` lives on"),
        (lambda: CommonLaw("power", {"exponent": 2.0}), "must be a distribution of NumPyro"),
        (
            lambda: CommonLaw("power", {"exponent": dist.Gamma(np.ones(2), 1.0)}),
            "must be the distribution of one number",
        ),
        (lambda: HierarchicalLaw("power", centre={"rate": (0, 1)}), "`centre` names `rate`"),
        (
            lambda: HierarchicalLaw("power", spread={"exponent": 0.0}),
            "`spread` of `exponent` must have a positive scale",
        ),
        (lambda: NoisyRatings("power", noise=-0.1), "`noise` must be 0 or more"),
        (lambda: NoisyRatings("power", noise_scale=0.0), "`noise_scale` must be positive"),
        (lambda: CorrelatedLaws("power", eta=0.0), "`eta` must be positive"),
    ],
)
def test_bad_models_are_refused_by_name(build, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build()


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({}, "say either `agents=`"),
        ({"agents": 2, "same": True}, "say either `agents=`"),
        ({"agents": 2}, "`items=` is needed"),
        ({"agents": 0, "items": 3}, "`agents` must be at least 1"),
        ({"same": True, "items": 0}, "`options` must be at least 1"),
    ],
)
def test_bad_worlds_are_refused_by_name(where, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        GAMMA.worlds({"exponent": np.ones(3)}, PAST, **where)


MODELS = {
    "common": CommonLaw("beta", {"mean": dist.Beta(2.0, 2.0)}),
    "hierarchical": HierarchicalLaw("beta", centre={"mean": (0.0, 1.0)}, spread={"mean": 0.3}),
    "noisy": NoisyRatings("power", noise=0.2),
    "correlated": CorrelatedLaws("power", {"exponent": dist.Gamma(2.0, 1.0)}, eta=1.0),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_models_are_written_and_read(model):
    import json

    again = type(model).from_spec(json.loads(json.dumps(model.to_spec())))
    assert again == model
    assert hash(again) == hash(model)
    with pytest.raises(ValueError, match="unknown keys"):
        type(model).from_spec({**model.to_spec(), "colour": 1})
    with pytest.raises(ValueError, match="the specification is of model 'Other'"):
        type(model).from_spec({**model.to_spec(), "model": "Other"})


def test_a_logit_has_no_law_of_cardinal_values(conjugate):
    facts = {name: getattr(conjugate, name) for name in ("method", "precision", "mode", "seconds")}
    logit = fh.Posterior(ConditionalLogit("cost"), PAST, conjugate.groups, conjugate.diagnosis, **facts)
    with pytest.raises(ValueError, match="`ConditionalLogit` has no law of cardinal values"):
        logit.law()


@pytest.mark.parametrize("module", ["data", "worlds"])
def test_examples_run(module):
    run_examples(module)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["common", "hierarchical", "noisy", "correlated", "predictive"])
def test_examples_with_a_fit_run(module):
    run_examples(module)


def run_examples(module):
    names = {"np": np, "jnp": jnp, "jax": jax}
    found = doctest.testmod(importlib.import_module(f"fairhand.models.ratings.{module}"), extraglobs=names)
    assert found.failed == 0
    assert found.attempted > 0
