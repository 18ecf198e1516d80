"""Least acceptable offers: intervals by hand, censoring at half, recovery, and who comes."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import fairhand as fh
from fairhand.models import Independent, Uniform
from fairhand.models.social import AcceptableOffers, OfferData, alpha_of_offer
from fairhand.models.social.acceptable_offers import OfferPeople

OFFERS = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.6])
DATA = OfferData(OFFERS, [0, 1, 3, 3, 4, 5, 6, 7, 8], people=list("abcdefghi"))
MODEL = AcceptableOffers()


def test_the_likelihood_is_that_of_an_interval_of_alpha(dtype):
    """P(α between the α of the greatest offer refused and that of the least accepted), α = (e^y − 1)/2."""
    m, s = np.array([0.3, 2.0, -1.0]), np.array([0.5, 0.1, 1.5])
    found = np.asarray(MODEL.log_densities({"location": jnp.asarray(m, dtype), "spread": jnp.asarray(s, dtype)}, DATA))
    for d in range(3):
        law = scipy.stats.norm(m[d], s[d])
        y = lambda offer: np.log1p(2 * alpha_of_offer(offer))
        for i, at in enumerate(DATA.accepts):
            at = min(at, 6)  # who refuses half refuses all below it, of which alone aversion speaks
            high = y(OFFERS[at]) if at < 6 else np.inf
            low = y(OFFERS[at - 1]) if at else -np.inf
            # In the upper tail differences of survival functions are exact.
            p = law.cdf(high) - law.cdf(low) if high < m[d] else law.sf(low) - law.sf(high)
            if p > 1e-30:
                assert found[d, i] == pytest.approx(np.log(p), rel=2e-3 if dtype == "float32" else 1e-7)
    assert np.isfinite(found).all()


@pytest.mark.slow
def test_gradients_are_finite_in_the_tails(relaxed_ranks):
    args = tuple(map(jnp.asarray, MODEL.arguments(DATA)))
    from numpyro.infer.util import log_density

    height = lambda m, s: log_density(MODEL.numpyro_model, args, {}, {"location": m, "spread": s})[0]
    for m, s in ((8.0, 0.1), (-8.0, 0.1), (0.0, 3.0)):
        slope = jax.grad(height, (0, 1))(m, s)
        assert np.all(np.isfinite(np.asarray(slope)))


def test_who_refuses_half_is_censored_and_not_infinite(key):
    assert DATA.at_half.tolist() == [False] * 6 + [True] * 3
    notes = " ".join(MODEL.identify(DATA))
    assert "3 of 9 people refuse every offer below half; 2 of them refuse half itself" in notes
    assert "above 4.5 and has no upper end" in notes  # the α of 0.45
    assert "1 of 9 people accept the least offer: their α is below 0" in notes
    alpha = MODEL.alphas({"location": np.full(500, 0.5), "spread": np.full(500, 0.6)}, DATA, key=key)
    assert np.isfinite(np.asarray(alpha)).all()
    assert np.all(np.asarray(alpha)[:, 6:] > 4.49)
    assert np.all(np.asarray(alpha)[:, 0] <= 0)
    assert np.all((np.asarray(alpha)[:, 2] > 0.3) & (np.asarray(alpha)[:, 2] < 0.76))


def test_answers_are_drawn_by_their_chances(key):
    sites = {"location": jnp.asarray(0.5), "spread": jnp.asarray(0.7)}
    edges, _ = MODEL.arguments(DATA)
    many = OfferData(OFFERS, np.zeros(60_000, int))
    drawn = MODEL.simulate(sites, tuple(map(jnp.asarray, MODEL.arguments(many))), key=key)[1]
    p = np.diff(scipy.stats.norm(0.5, 0.7).cdf(np.concatenate([[-np.inf], edges, [np.inf]])))
    count = np.bincount(np.asarray(drawn), minlength=len(p))
    assert np.abs((count / 60_000 - p) / np.sqrt(p * (1 - p) / 60_000)).max() < 4


def test_worlds_have_alpha_within_the_answers_and_beta_as_said(key):
    sites = {"location": np.array([0.5, 0.7]), "spread": np.array([0.6, 0.5])}
    same = MODEL.worlds(sites, DATA, same=True, values=np.ones((9, 2)), beta=0.3)
    assert (same.num, same.serves_the_sample) == (2, True)
    people = same.one(1).population(key)
    assert people.alpha[6] > 4.49
    np.testing.assert_allclose(people.beta, [0.3] * 9, rtol=1e-6)
    new = MODEL.worlds(sites, DATA, new=30_000, values=Independent(Uniform(), 30_000, 1), beta=np.nan)
    world = new.one(0)
    assert isinstance(world, OfferPeople)
    alpha = np.asarray(world.population(key).alpha)
    assert np.median(alpha) == pytest.approx(np.expm1(0.5) / 2, rel=0.03)
    assert np.log1p(2 * alpha).std() == pytest.approx(0.6, rel=0.02)
    with pytest.raises(ValueError, match="`beta` is missing"):
        MODEL.worlds(sites, DATA, same=True, values=np.ones((9, 2)))


def test_least_amounts_are_read_with_faults_named():
    table = {"who": ["a", "b", "c"], "least": [2, 0, None]}
    data = OfferData.from_table(table, minimum="least", person="who", offers=range(0, 11, 2), pie=20)
    assert data.accepts.tolist() == [1, 0, 6]
    assert data.people.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match=re.escape("row with index 1: column `least` holds 3, which is none of")):
        OfferData.from_table(table | {"least": [2, 3, 4]}, minimum="least", offers=range(0, 11, 2), pie=20)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: OfferData([0.2, 0.1], [0]), "`offers` must be increasing shares"),
        (lambda: OfferData([0.2, 1.4], [0]), "`offers` must be increasing shares"),
        (lambda: OfferData([0.5, 0.6], [0]), "`offers` has none below half"),
        (lambda: OfferData([0.2], [2]), "`accepts` must be whole numbers from 0 to 1"),
        (lambda: OfferData([0.2], [0.5]), "`accepts` must be whole numbers"),
        (lambda: OfferData([0.2], []), "is empty"),
        (lambda: OfferData([0.2], [0], people=["a", "b"]), "`people` must name each"),
        (lambda: OfferData.from_minimum([3], offers=[0, 2, 4], pie=10), r"`minimum` holds \[3.\]"),
        (lambda: OfferData.from_minimum([2], offers=[0, 2, 4], pie=0), "`pie` must be positive"),
        (lambda: AcceptableOffers(location=(0.0, 0.0)), "`location` must be the mean"),
        (lambda: AcceptableOffers(spread=-1), "`spread` must be positive"),
        (lambda: MODEL.identify(OfferData(OFFERS, [0, 0])), "everybody accepts the least offer"),
        (lambda: MODEL.identify(OfferData(OFFERS, [6, 8])), "everybody refuses every offer below half"),
        (lambda: MODEL.identify(OfferData(OFFERS, [3, 3])), "everybody gave the same answer"),
    ],
)
def test_bad_input_is_refused_by_name(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.slow
def test_the_law_of_people_is_recovered_where_midpoints_fail(tmp_path):
    """Steps of a tenth and censored ends: the intervals find the law; taking ends for points does not."""
    rng = np.random.default_rng(0)
    alpha = np.expm1(rng.normal(1.2, 0.9, 600)) / 2
    offers = np.arange(0, 0.5, 0.1)
    data = OfferData(offers, np.searchsorted(offers, np.where(alpha > -0.5, alpha / (1 + 2 * alpha), 0)))
    posterior = fh.fit(MODEL, data, method="map", draws=100, progress=False)
    assert abs(posterior.mean["location"] - 1.2) < 3 * posterior.sd["location"]
    assert abs(posterior.mean["spread"] - 0.9) < 3 * posterior.sd["spread"]
    assert posterior.sd["spread"] < 0.08
    naive = np.log1p(2 * alpha_of_offer(offers[np.minimum(data.accepts, 4)]))
    assert abs(naive.std() - 0.9) > 3 * posterior.sd["spread"]
    path = tmp_path / "offers.nc"
    posterior.save(path)
    assert fh.load(path).data.sha256 == data.sha256
    assert set(posterior.check(draws=30).table.index) == {"accepts all", "refuses all below half", "mean answer"}
