"""Do fits find what made the data? Recovery of known truths; calibration is in `tests/inference`."""

import jax
import numpy as np
import pytest
import scipy.stats

import fairhand as fh
from fairhand.models import ratings
from fairhand.models.ratings import CommonLaw, CorrelatedLaws, HierarchicalLaw, NoisyRatings, RatingData

KEY = jax.random.key(1)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`.*(effective draws|R-hat):RuntimeWarning"),  # few draws on purpose
]


def nuts(model, data, **more):
    settings = {"draws": 300, "warmup": 300, "chains": 4, **more}
    return fh.fit(model, data, key=KEY, progress=False, **settings)


def assert_recovered(posterior, truth, sds=3.5):
    """Every parameter within `sds` posterior standard deviations of its truth, by chains that agree."""
    table = posterior.diagnosis.table
    assert table["r_hat"].max() < 1.03
    assert posterior.diagnosis.sampler["divergences"] <= 5
    for name, value in truth.items():
        assert abs(posterior.mean[name] - value) < sds * posterior.sd[name], (name, value, table)


def truncated_normal(loc, scale, shape, rng):
    a, b = -loc / scale, (1 - loc) / scale
    return scipy.stats.truncnorm(a, b, loc, scale).rvs(shape, random_state=rng)


COMMON = {
    "beta": ({"mean": 0.3, "concentration": 6.0}, lambda rng: rng.beta(1.8, 4.2, (6, 50))),
    "truncated_normal": ({"loc": 0.4, "scale": 0.2}, lambda rng: truncated_normal(0.4, 0.2, (6, 50), rng)),
    "truncated_exponential": (
        {"rate": 3.0},
        lambda rng: -np.log1p(-rng.random((6, 50)) * -np.expm1(-3.0)) / 3.0,
    ),
}


@pytest.mark.parametrize("family", COMMON)
def test_a_common_law_is_recovered(family):
    truth, draw = COMMON[family]
    values = draw(np.random.default_rng(0))
    posterior = nuts(CommonLaw(family), RatingData(values * 10, scale=(0, 10)))
    assert_recovered(posterior, truth)
    assert all(posterior.sd[name] < 0.2 * abs(value) for name, value in truth.items())  # and the data said something
    assert ratings.quantile_check(posterior, key=KEY).p_value.min() > 0.02


def test_a_population_of_laws_is_recovered():
    rng = np.random.default_rng(0)
    exponent = np.exp(0.5 + 0.4 * rng.normal(size=15))
    values = rng.random((15, 25)) ** (1 / exponent[:, None])
    posterior = nuts(HierarchicalLaw("power"), RatingData(values))
    assert_recovered(posterior, {"exponent_centre": 0.5, "exponent_spread": 0.4})
    found = posterior.sites["exponent"]
    score = (found.mean(0) - exponent) / found.std(0)
    assert np.abs(score).max() < 3.5
    assert 0.5 < score.std() < 1.6
    own = -25 / np.log(values).sum(1)
    assert np.mean((found.mean(0) - exponent) ** 2) < np.mean((own - exponent) ** 2)  # what pooling is for
    apart = posterior.law()
    new = posterior.world(agents=400, items=30, draws=20)
    values = np.concatenate([np.asarray(new.one(k).population(KEY).values) for k in range(20)])
    learned = np.log(-30 / np.log(values).sum(1))
    assert len(apart) == 15
    assert abs(learned.mean() - posterior.mean["exponent_centre"]) < 0.1


def test_stars_with_a_known_error_are_recovered():
    rng = np.random.default_rng(0)
    latent = rng.beta(2.0, 3.0, (8, 60))
    stars = np.clip(np.round(0.5 + 5 * latent + 0.4 * rng.normal(size=latent.shape)), 1, 5)
    posterior = nuts(NoisyRatings("beta", noise=0.4), RatingData(stars, steps=range(1, 6)))
    assert_recovered(posterior, {"mean": 0.4, "concentration": 5.0})
    drawn = np.asarray(posterior.world(same=True, draws=200).varying.people.values)
    level = (drawn < latent).mean(0)
    assert scipy.stats.kstest(level.ravel(), "uniform").pvalue > 1e-3  # truths fall anywhere in their posteriors
    assert np.corrcoef(drawn.mean(0).ravel(), latent.ravel())[0, 1] > 0.8
    assert ratings.quantile_check(posterior, key=KEY).p_value.min() > 0.02


def test_an_error_on_a_slider_is_recovered_with_the_law():
    rng = np.random.default_rng(0)
    latent = rng.random((4, 40)) ** 0.5
    shown = np.clip(latent + 0.08 * rng.normal(size=latent.shape), 0, 1)
    posterior = nuts(NoisyRatings("power"), RatingData(shown * 100, scale=(0, 100)), draws=150, warmup=200)
    assert_recovered(posterior, {"exponent": 2.0, "noise": 8.0})
    drawn = np.asarray(posterior.world(same=True, draws=200).varying.people.values)
    assert np.mean((drawn.mean(0) - latent) ** 2) < np.mean((shown - latent) ** 2)


def test_tastes_that_go_together_are_recovered():
    rng = np.random.default_rng(0)
    tie = np.array([[1.0, 0.7, -0.4], [0.7, 1.0, 0.0], [-0.4, 0.0, 1.0]])
    z = np.linalg.cholesky(tie) @ rng.normal(size=(3, 150))
    values = scipy.stats.norm.cdf(z) ** (1 / np.array([[1.0], [2.0], [0.5]]))
    values[rng.random(values.shape) < 0.15] = np.nan
    posterior = nuts(CorrelatedLaws("power"), RatingData(values))
    truth = {"exponent[0]": 1.0, "exponent[1]": 2.0, "exponent[2]": 0.5}
    pairs = {f"correlation[{i},{k}]": tie[i, k] for i, k in ((0, 1), (0, 2), (1, 2))}
    assert_recovered(posterior, truth | pairs)
    joint = ratings.joint_values(posterior, key=KEY, each=10)
    scores = scipy.stats.norm.ppf(scipy.stats.rankdata(joint, axis=0) / (len(joint) + 1))
    np.testing.assert_allclose(np.corrcoef(scores.T), posterior.sites["correlation"].mean(0), atol=0.06)
