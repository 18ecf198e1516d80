"""Known worths and tastes come back from simulated rankings."""

import jax
import numpy as np
import pytest

import fairhand as fh
from fairhand.models.rankings import MixedRankOrderedLogit, PlackettLuce, RankingData, RankOrderedLogit

KEY = jax.random.key(0)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*(effective draws|R-hat|k-hat).*:RuntimeWarning"),  # few draws on purpose
]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_worths_are_recovered_from_top_lists_with_ties(precision):
    rng = np.random.default_rng(0)
    worth = np.array([1.0, 0.3, -0.2, -1.1, 0.6, -0.6])
    order = np.argsort(-(worth + rng.gumbel(size=(400, 6))), 1)[:, :4]
    level = np.where(np.arange(400)[:, None] % 2, [0, 1, 2, 3], [0, 0, 1, 1])
    data = RankingData(order, "abcdef", np.ones((400, 6)), "below", level=level)
    found = fh.fit(PlackettLuce(), data, key=KEY, draws=200, warmup=200, chains=2, precision=precision, progress=False)
    far = [(found.mean[f"worth:{n}"] - w) / found.sd[f"worth:{n}"] for n, w in zip("abcdef", worth, strict=True)]
    assert np.abs(far).max() < 3
    assert max(found.sd.values()) < 0.12
    assert np.abs(np.array(list(found.mean.values())) - worth).max() < 0.25


def test_the_law_of_tastes_is_recovered():
    rng = np.random.default_rng(1)
    n, mean, sd = 200, np.array([1.0, -0.5]), np.array([0.8, 0.5])
    x = rng.normal(size=(n, 6, 2))
    beta = mean + sd * rng.normal(size=(n, 2))
    order = np.argsort(-(np.einsum("nik,nk->ni", x, beta) + rng.gumbel(size=(n, 6))), 1)
    data = RankingData(order, "abcdef", np.ones((n, 6)), attributes=x, columns=("p", "q"))
    logit = RankOrderedLogit(("p", "q"))
    found = fh.fit(MixedRankOrderedLogit(logit), data, key=KEY, method="map", draws=100, progress=False)
    truth = {"mean[p]": 1.0, "mean[q]": -0.5, "spread[p]": 0.8, "spread[q]": 0.5}
    for name, value in truth.items():
        assert abs(found.mean[name] - value) < 3 * found.sd[name], name
        assert found.sd[name] < 0.2
    # Without differences between people the mean would come out too near to zero.
    plain = fh.fit(logit, data, key=KEY, method="map", draws=50, progress=False)
    assert plain.mean["p"] < 1.0 - 2 * plain.sd["p"]
    own = found.sites["taste"].mean(0) * found.model.units(data, ("p", "q"))
    assert np.corrcoef(own[:, 0], beta[:, 0])[0, 1] > 0.5
