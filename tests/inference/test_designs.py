"""The best rule of each draw: found where a closed form knows it, and what committing loses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rules.level import Level, given, surplus

import fairhand as fh
from fairhand.inference import Designer, designs
from fairhand.mechanisms import mean
from fairhand.models import Draws, Independent, Uniform

KEY = jax.random.key(0)
TOPS = np.linspace(0.4, 1.6, 8)
WORLDS = Draws.of(Independent(Uniform(np.zeros(8), TOPS), 2, 40), lambda w: [w.law.low, w.law.high])
BEST = TOPS / 2  # of E v x - x^2 / 2 with v ~ U[0, top]


def closed_form(world, key):
    """A designer in one line."""
    del key
    return Level(world.law.mean)


@pytest.mark.parametrize("how", ["gradient", "closed form"])
def test_designs_find_the_best_rule_of_each_draw_and_what_committing_loses(how):
    committed = Level(0.5)
    designer = closed_form
    if how == "gradient":
        designer = Designer(committed, mean(surplus), steps=80, populations=8, rate=0.1)
    found = designs(committed, designer, WORLDS, mean(surplus), key=KEY, num=8, judge=128)
    np.testing.assert_allclose(found.parameters["level"], BEST, atol=0.03)
    regret = (BEST - 0.5) ** 2 / 2
    assert np.all(np.abs(found.regret - regret) < 4 * found.regret_error + 1e-3)
    value, error = found.perfect_information
    assert value == pytest.approx(regret.mean(), abs=4 * error)
    assert np.all(found.best >= found.committed - 3 * found.regret_error)
    assert found.status == ""


def test_a_rule_that_is_best_everywhere_has_nothing_to_regret():
    """The null: draws that do not differ, and the best rule committed."""
    same = Draws.of(Independent(Uniform(np.zeros(4), np.ones(4)), 2, 40), lambda w: [w.law.low, w.law.high])
    found = designs(Level(0.5), closed_form, same, mean(surplus), key=KEY, num=4, judge=64)
    np.testing.assert_allclose(found.regret, 0, atol=1e-12)


def test_designs_meet_limits_draw_by_draw():
    designer = Designer(Level(0.3), mean(surplus), (mean(given) <= 0.4,), steps=80, populations=8, rate=0.1)
    found = designs(Level(0.3), designer, WORLDS, mean(surplus), key=KEY, num=8, judge=64)
    np.testing.assert_allclose(found.parameters["level"], np.minimum(BEST, 0.4), atol=0.03)
    assert np.all(found.parameters["level"] <= 0.4)


def test_one_known_world_leaves_nothing_to_learn(monkeypatch):
    import jaxtyping

    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="`world` must be `Draws`"):
        designs(Level(0.5), closed_form, WORLDS.one(0), mean(surplus), key=KEY)


def test_the_designer_is_pure_and_maps_over_worlds():
    designer = Designer(Level(0.5), mean(surplus), steps=40, populations=4, rate=0.1)
    many = jax.jit(jax.vmap(lambda i: designer(WORLDS.one(i), KEY).level))(jnp.arange(3))
    one = jax.jit(lambda i: designer(WORLDS.one(i), KEY).level)(1)
    assert float(many[1]) == pytest.approx(float(one), rel=1e-5)


def test_tuning_in_the_mixture_is_the_best_single_commitment():
    tuned = fh.tune(Level(0.2), mean(surplus), WORLDS, key=KEY, steps=120, populations=64)
    assert float(tuned.mechanism.level) == pytest.approx(BEST.mean(), abs=0.03)
