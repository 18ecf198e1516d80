"""Every model of social preferences, calibrated on a small design, and known weights that come back."""

import jax
import numpy as np
import pytest

from fairhand.inference import calibrate, recover
from fairhand.models import social

pytestmark = pytest.mark.slow

LIGHT = social.FehrSchmidt(lapse=None)
PLAIN = social.BruhinFehrSchunk(reciprocity=False)


def games(situations=40, people=None):
    """Two players, each ahead in half of the options, and every third act kind, every third unkind."""
    payoffs = np.random.default_rng(1).uniform(0, 10, (situations, 2, 2))
    at = np.arange(situations)
    chosen, person = np.zeros(situations, int), at % (people or situations)
    return social.SocialChoiceData.from_payoffs(payoffs, chosen, person=person, kind=at % 3 == 1, unkind=at % 3 == 2)


def offers(people=40):
    return social.OfferData(np.arange(0, 0.5, 0.04), np.zeros(people, int))


MODELS = {
    "Fehr-Schmidt": lambda: (social.FehrSchmidt(), games()),
    "Bruhin-Fehr-Schunk": lambda: (social.BruhinFehrSchunk(), games(60)),
    "hierarchical Fehr-Schmidt": lambda: (social.HierarchicalFehrSchmidt(LIGHT), games(100, 10)),
    "hierarchical Bruhin-Fehr-Schunk": lambda: (
        social.HierarchicalBruhinFehrSchunk(PLAIN, correlated=False),
        games(100, 10),
    ),
    # With few choices a person types have several modes, and a chain stays in one: hence many.
    "types": lambda: (social.PreferenceTypes(PLAIN, types=2), games(300, 15)),
    "least offers": lambda: (social.AcceptableOffers(), offers()),
}
SLOW_MIXING = {"fits": 60, "warmup": 150, "thin": 6, "target_accept": 0.9}
SETTINGS = {name: SLOW_MIXING for name in MODELS if name.startswith(("hierarchical", "types", "least"))}


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_calibrated(name):
    model, data = MODELS[name]()
    settings = {"fits": 80, "warmup": 150, "thin": 4, "draws": 31} | SETTINGS.get(name, {})
    found = calibrate(model, data, key=jax.random.key(1), level=0.99, progress=False, **settings)
    assert found.flagged == (), str(found)
    assert found.diverging.sum() < 0.01 * found.fits * found.draws * found.settings["thin"], str(found)
    assert found.echo.mean() < 0.25, str(found)


class MixedUp(social.FehrSchmidt):
    """A likelihood that takes the others' being richer for their being poorer; its data are drawn as they should be."""

    def numpyro_model(self, own, feature):
        super().numpyro_model(own, feature[::-1])


def test_a_likelihood_with_behind_and_ahead_mixed_up_is_found():
    model = MixedUp(alpha=(0.6, 0.3), beta=(0.0, 0.3), log_precision=(1.0, 0.3), lapse=None)
    found = calibrate(model, games(100), fits=60, draws=31, thin=1, method="map", progress=False)
    assert {"alpha", "beta"} <= set(found.flagged), str(found)


def test_weights_of_either_sign_are_recovered():
    """α < 0, β > α, and no order is forced: means come back, and more choices tell more."""
    truth = {"alpha": np.array(-0.3), "beta": np.array(0.5), "log_precision": np.array(1.0)}
    model, tables = LIGHT, []
    for size in (100, 400):
        tables.append(recover(model, games(size), truth, fits=60, method="map", progress=False).table())
        for name in ("alpha", "beta"):
            row = tables[-1].loc[name]
            assert abs(row["bias"]) < 0.25 * row["sd"] + 3 * row["bias_error"], str(tables[-1])
    assert tables[1].loc["alpha", "rmse"] < 0.7 * tables[0].loc["alpha", "rmse"]
