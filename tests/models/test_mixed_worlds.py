"""Who comes by a mixed logit, without a fit: strangers with the law's tastes, the same people with their own."""

import equinox as eqx
import jax
import numpy as np
import pytest

from fairhand.models import Draws, Items
from fairhand.models.choice import ChoiceData, ConditionalLogit, MixedLogit

pytestmark = pytest.mark.usefixtures("relaxed_ranks")
PEOPLE, TIMES = 10, 3
RNG = np.random.default_rng(0)
WHO = np.repeat(np.arange(PEOPLE), TIMES)
LOGIT = ConditionalLogit(("size", "price"), constants=False, numeraire="price", unit="euro")
MODEL = MixedLogit(LOGIT, scale=True)
DATA = ChoiceData(
    RNG.uniform(0, 1, (len(WHO), 3, 2)), RNG.integers(0, 3, len(WHO)), ("a", "b", "c"), ("size", "price"), person=WHO
)
SITES = {
    "mean": np.array([[0.5, -0.2], [1.0, 0.1]]),
    "spread": np.array([[0.6, 0.3], [0.2, 0.4]]),
    "scale_spread": np.array([0.4, 0.2]),
    "taste": RNG.normal(0.0, 0.4, (2, PEOPLE, 3)),
}
values = eqx.filter_jit(lambda world, key: world.population(key).values)


def test_strangers_have_tastes_of_the_law(key):
    n = 40_000
    worlds = MODEL.worlds(SITES, DATA, new=n, supply=Items())
    assert isinstance(worlds, Draws)
    world = worlds.one(1)
    own = np.asarray(eqx.filter_jit(lambda w, k: w.own(k))(world, key))
    unit = MODEL.units(DATA, ("size", "price"))
    assert own.shape == (n, 2)
    log = np.log(-own[:, 1] / unit[1])  # log-normal price, times a scale: m + s z + t z' - t^2 / 2
    assert abs(log.mean() - (0.1 - 0.02)) < 4 * np.hypot(0.4, 0.2) / np.sqrt(n)
    assert abs(log.std() / np.hypot(0.4, 0.2) - 1) < 0.03
    found = np.asarray(values(world, key))
    best = np.bincount(found.argmax(1), minlength=3) / n
    np.testing.assert_allclose(best, world.shares(), atol=0.02)  # 256 tastes of the shares' own


@pytest.mark.parametrize("outside", [None, "c"])
def test_the_same_people_would_choose_the_same_at_their_own_tastes(outside, key):
    world = MODEL.worlds(SITES, DATA, same=True, supply=Items(), outside=outside).one(0)
    assert world.serves_the_sample
    assert world.unit == "euro"
    found = np.asarray(jax.vmap(lambda k: values(world, k))(jax.random.split(key, 4000)))
    last = DATA.chosen[TIMES - 1 :: TIMES]
    assert np.all(found.argmax(-1) == last)
    np.testing.assert_allclose(world.shares(), np.bincount(last, minlength=3) / PEOPLE, rtol=1e-6)
    # Law of total expectation, with the greatest value a Gumbel at the log-sum: in units of everybody's own numeraire.
    own = np.asarray(MODEL.coefficients(SITES, DATA))[0]
    worth = np.einsum("ak,aok->ao", own, DATA.attributes[TIMES - 1 :: TIMES])
    if outside is None:
        right = (np.log(np.exp(worth).sum(1)) + np.euler_gamma) / -own[:, 1]
        error = np.pi / np.sqrt(6) / -own[:, 1] / np.sqrt(4000)
        assert np.abs((found.max(-1).mean(0) - right) / error).max() < 4
    else:
        assert np.all(found[..., -1] == 0)
