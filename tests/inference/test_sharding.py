"""Four devices do what one does, up to rounding: on populations, draws and restarts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rules.cases import CASES
from rules.level import Level, given, surplus
from rules.participatory import Participatory

import fairhand as fh
from fairhand.inference._devices import leading_axis
from fairhand.inference._precision import cast
from fairhand.mechanisms import DSIC, Grid, mean, metrics
from fairhand.models import Draws, Independent, Items, Uniform
from helpers import assert_close

pytestmark = pytest.mark.slow  # every program once more for four devices

KEY = jax.random.key(0)
PEOPLE = {"agents": 3, "options": 4, "supply": Items(all_given=True)}
WORLD = Independent(Uniform(), alpha=np.array(0.4), beta=np.array(0.2), **PEOPLE)


def worlds(draws):
    felt = np.linspace(0.1, 0.8, draws)
    return Draws.of(Independent(Uniform(), alpha=felt, beta=0.5 * felt, **PEOPLE), lambda w: [w.alpha, w.beta])


def close(one, four, loosen=1e3):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
        if np.issubdtype(np.asarray(a).dtype, np.floating):
            assert_close(b, a, loosen=loosen)
        else:
            np.testing.assert_array_equal(a, b)


def test_there_are_four_devices():
    assert len(jax.devices()) == 4


@pytest.mark.parametrize("name", ["participatory", "pseudomarket", "promised"])
def test_populations_are_shared_out(name):
    """Rules with solver loops whose length depends on the numbers, too."""
    case = CASES[name]()
    with jax.enable_x64(True):
        rule, world = cast(case.honest or case.rule, jnp.float64), cast(case.world, jnp.float64)
        play = eqx.filter_jit(lambda sharding: fh.play(rule, world, KEY, 8, sharding=sharding))
        one, four = play(None), play(leading_axis(4, 8))
        assert len(four.allocation.shares.sharding.device_set) == 4
        assert_close(four.allocation.shares, one.allocation.shares, loosen=1e3)
        assert_close(four.excess, one.excess, loosen=1e3)


@pytest.mark.parametrize("settings", [{"restarts": 4}, {"restarts": 1}], ids=["restarts", "populations"])
def test_tuning_is_the_same_on_four_devices(settings):
    def tune(devices):
        rule = Participatory(1.0, temperature=0.05, steps=50)
        limits = [mean(metrics.envy) <= 1.0]
        settings_ = {"key": KEY, "subject_to": limits, "steps": 10, "populations": 4, **settings}
        return fh.tune(rule, mean(metrics.egalitarian), WORLD, devices=devices, **settings_)

    one, four = tune(1), tune(4)
    close(one, four)
    assert one.status == four.status


@pytest.mark.parametrize("draws", [8, 6, 3])
def test_propagation_is_the_same_on_four_devices_whatever_the_number_of_draws(draws):
    def propagate(devices):
        rule = Participatory(1.0, temperature=0.05, steps=50)
        questions = [metrics.utility, mean(metrics.welfare)]
        return fh.propagate(rule, worlds(draws), questions, key=KEY, populations=2, devices=devices)

    one, four = propagate(1).data, propagate(4).data
    assert one.sizes["draw"] == four.sizes["draw"] == draws
    for name in one.data_vars:
        np.testing.assert_allclose(four[name], one[name], rtol=1e-9, atol=1e-12)


def test_an_audit_is_the_same_on_four_devices():
    def audit(devices):
        claims = (DSIC(Grid(np.eye(4))),)
        rule = Participatory(1.0, temperature=0.05, steps=50)
        return fh.audit(rule, WORLD, key=KEY, populations=4, also=claims, devices=devices)

    for one, four in zip(audit(1).findings, audit(4).findings, strict=True):
        assert one.promise == four.promise
        assert one.refuted == four.refuted
        assert four.amount == pytest.approx(one.amount, rel=1e-9, abs=1e-12)
        np.testing.assert_array_equal(*([int(f.witness[k]) for k in f.witness] for f in (one, four)))


def test_host_rules_are_called_from_every_device():
    def first_come(values):
        return np.eye(*values.shape)

    one, four = (
        fh.propagate(first_come, worlds(8), [metrics.utility], key=KEY, populations=2, devices=devices).data
        for devices in (1, 4)
    )
    np.testing.assert_array_equal(four["utility"], one["utility"])


def test_a_resumed_tuning_on_four_devices_goes_on(tmp_path):
    def tune(**settings):
        settings = {"key": KEY, "steps": 50, "restarts": 4, "populations": 4, "devices": 4} | settings
        return fh.tune(Level(0.2), mean(surplus), WORLD, **settings)

    whole = tune(checkpoint=tmp_path / "tune")
    again = tune(checkpoint=tmp_path / "tune", resume=True)
    assert again.mechanism.level == whole.mechanism.level


def test_one_device_is_no_sharding_and_bad_numbers_are_named():
    assert leading_axis(1, 3) is None
    assert leading_axis("auto", 3) is None
    with pytest.raises(ValueError, match="`devices` must be 'auto' or between 1 and 4, got 5"):
        leading_axis(5)
    with pytest.raises(ValueError, match="`devices` must be 'auto' or between 1 and 4, got 0"):
        leading_axis(0)
    with pytest.raises(ValueError, match="An axis of 6 cannot be split over `devices=4`"):
        leading_axis(4, 6)
    with pytest.raises(ValueError, match="`devices=4`"):
        fh.tune(Level(0.2), mean(given), WORLD, key=KEY, populations=6, devices=4)
