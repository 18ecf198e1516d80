"""Calibration: right posteriors pass, wrong ones are caught, and the bands keep their level."""

import doctest
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairhand.inference import Calibration, _bands, _loop, _refits, calibrate, recover
from fairhand.inference._bands import band, ecdf, p_value
from fairhand.models import choice

KEY = jax.random.key(0)
DRAWS, FITS = 63, 200


def logit(scale):
    return choice.ConditionalLogit(("price", "size"), constants=False, prior_scale=scale)


@pytest.fixture(scope="session")
def data():
    x = np.random.default_rng(0).normal(size=(25, 3, 2))
    return choice.ChoiceData(x, np.zeros(25, int), ("a", "b", "c"), ("price", "size"))


# One program for all quick tests: batches of one size, and settings that agree.
SETTINGS = {"key": KEY, "draws": DRAWS, "thin": 2, "warmup": 60, "batch_size": 20, "progress": False}


@pytest.fixture(scope="session")
def right(data):
    return calibrate(logit(1.0), data, fits=100, **SETTINGS)


@pytest.fixture(scope="session")
def wrong(data):
    """Tastes twice as wide as the prior of the fit says."""
    settings = {"method": "map", "fits": 100, "key": KEY, "progress": False}
    return calibrate(logit(1.0), data, simulator=logit(2.0), **settings)


def test_a_right_posterior_passes(right):
    assert right.ranks.shape == (100, 3)
    assert right.flagged == ()
    assert right.problems == ()
    assert right.settled.all()
    assert right.diverging.sum() == 0
    assert np.all(np.abs(right.echo) < 0.1)
    assert "all scalars are uniform" in str(right)


def test_a_wrong_prior_is_caught(wrong):
    assert {"price", "size", _refits.LIKELIHOOD} == set(wrong.flagged)
    assert any("too narrow" in problem for problem in wrong.problems)
    assert wrong.simulator["prior_scale"] == 2.0


@pytest.mark.slow
def test_a_laplace_approximation_is_caught_where_it_is_wrong():
    """With a cost whose coefficient is negative and few choices, the posterior is far from normal."""
    x = np.random.default_rng(1).normal(size=(4, 2, 1))
    few = choice.ChoiceData(x, np.zeros(4, int), ("a", "b"), ("cost",))
    model = choice.ConditionalLogit("cost", constants=False, numeraire="cost")
    rough = calibrate(model, few, method="map", fits=400, progress=False)
    assert "cost" in rough.flagged or _refits.LIKELIHOOD in rough.flagged


def conjugate(shift=0.0, widen=1.0, seed=0):
    """Ranks of a normal mean among draws of its known posterior, moved and widened."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=FITS)
    seen = truth + rng.normal(size=FITS)
    centre, sd = seen / 2, np.sqrt(0.5)
    draws = centre[:, None] + sd * (shift + widen * rng.normal(size=(FITS, DRAWS)))
    return (draws < truth[:, None]).sum(1)


def test_exact_draws_pass_and_shifted_narrow_or_wide_ones_do_not():
    assert p_value(conjugate(), DRAWS) > 0.05
    for wrong in ({"shift": 0.5}, {"shift": -0.5}, {"widen": 0.7}, {"widen": 1.6}):
        assert p_value(conjugate(**wrong), DRAWS) < 0.002


def test_the_bands_keep_their_level():
    rng = np.random.default_rng(1)
    ranks = rng.integers(0, DRAWS + 1, (FITS, 2000))
    limits = band(FITS, DRAWS, 0.9)
    shares = ecdf(ranks, DRAWS) / FITS
    inside = np.all((shares >= limits.low[:, None] - 1e-12) & (shares <= limits.high[:, None] + 1e-12), 0)
    assert abs(inside.mean() - 0.9) < 0.025
    p = np.array([p_value(r, DRAWS) for r in ranks.T[:500]])
    assert abs((p <= 0.1).mean() - 0.1) < 0.05
    assert np.array_equal(inside[:500], p > 0.1) or np.mean(inside[:500] == (p > 0.1)) > 0.98


def test_the_program_simulates_what_the_model_says(data):
    """Simulated choices against the model's own chances, and priors against theirs."""
    model = logit(1.0)
    args = tuple(jnp.asarray(x) for x in model.arguments(data))
    with jax.numpy_rank_promotion("allow"):
        one = lambda key: _refits.parameters(model, {}, args, key=key)["beta"]
        beta = np.asarray(jax.vmap(one)(jax.random.split(KEY, 4000)))
        sites = _refits.parameters(model, {"beta": jnp.array([1.0, -0.5])}, args, key=KEY)
        drawn = jax.vmap(lambda key: model.simulate(sites, args, key=key)[2])(jax.random.split(KEY, 4000))
        chance = np.asarray(model.probabilities(sites["coefficient"], data))
        seen = np.mean(np.asarray(drawn)[..., None] == np.arange(3), 0)
        total = float(_refits.log_likelihood(model, {"beta": sites["beta"]}, args))
        assert np.isclose(total, model.log_likelihood(sites["coefficient"], data), rtol=1e-5)
    assert np.allclose(beta.std(0), 1.0, atol=0.05)
    assert np.abs(seen - chance).max() < 0.04


def test_an_interrupted_calibration_returns_what_is_done_and_resumes(data, right, tmp_path, monkeypatch):
    real, calls = jax.block_until_ready, []

    def stop(x):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(x)

    monkeypatch.setattr(_loop.jax, "block_until_ready", stop)
    path = tmp_path / "ranks.npz"
    partial = calibrate(logit(1.0), data, fits=40, checkpoint=path, **SETTINGS)
    monkeypatch.undo()
    assert partial.fits == 20
    assert "Interrupted after 20 of 40" in str(partial)
    finished = calibrate(logit(1.0), data, fits=40, checkpoint=path, resume=True, **SETTINGS)
    assert finished.status == ""
    assert np.array_equal(finished.ranks, right.ranks[:40])  # data set i is the same however many there are
    with pytest.raises(ValueError, match="belongs to another"):
        calibrate(logit(2.0), data, fits=40, checkpoint=path, resume=True, **SETTINGS)


@pytest.mark.slow
def test_batches_devices_and_precision_change_nothing_but_rounding(data, right):
    parts = calibrate(logit(1.0), data, **(SETTINGS | {"fits": 21, "batch_size": 7}))
    assert np.allclose(parts.truth, right.truth[:21])
    assert np.abs(parts.ranks - right.ranks[:21]).max() <= 1  # another batch may sum in another order
    split = calibrate(logit(1.0), data, devices=2, fits=20, **SETTINGS)
    assert np.allclose(split.truth, right.truth[:20])
    assert np.abs(split.ranks - right.ranks[:20]).max() <= 1
    single = calibrate(logit(1.0), data, precision="float32", fits=100, **SETTINGS)
    assert single.flagged == ()


def test_a_saved_calibration_opens_the_same(wrong, tmp_path):
    wrong.save(tmp_path / "ranks.npz")
    opened = Calibration.load(tmp_path / "ranks.npz")
    assert str(opened) == str(wrong)
    assert opened.names == wrong.names
    with pytest.raises(ValueError, match="does not exist"):
        Calibration.load(tmp_path / "other.npz")
    np.savez(tmp_path / "else.npz", x=1)
    with pytest.raises(ValueError, match="not a calibration"):
        Calibration.load(tmp_path / "else.npz")


def test_the_figure_has_a_row_for_each_scalar(wrong):
    assert len(wrong.plot().axes) == 6
    assert len(wrong.plot(("price",)).axes) == 2
    with pytest.raises(ValueError, match="`names`"):
        wrong.plot(("colour",))


def test_recovery_knows_the_truth_and_covers_it(data):
    found = recover(logit(1.0), data, fits=100, **SETTINGS)
    table = found.table()
    assert found.problems == ()
    assert np.all(np.abs(table["bias"]) < 4 * table["bias_error"])
    assert np.all(np.abs(table["rmse"] / table["sd"] - 1) < 0.25)


@pytest.mark.slow
def test_recovery_from_one_truth_shows_how_the_prior_pulls(data):
    far = recover(logit(0.3), data, {"beta": [2.0, -2.0]}, fits=60, method="map", progress=False)
    assert np.ptp(far.truth, 0).max() == 0
    table = far.table()
    assert table.loc["price", "bias"] < -0.3
    assert table.loc["size", "bias"] > 0.3
    assert any("the prior pulls" in problem for problem in far.problems)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"fits": 1}, "`fits`"),
        ({"draws": 3}, "`draws`"),
        ({"thin": 0}, "`thin`"),
        ({"method": "svi"}, "`method`"),
        ({"target_accept": 1.0}, "`target_accept`"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"level": 0.2}, "`level`"),
        ({"model": 3}, "`model`"),
        ({"model": choice.ConditionalLogit("price", constants=False, prior_scale=None)}, "flat prior"),
    ],
)
def test_bad_arguments_are_refused_by_name(data, arguments, said):
    with pytest.raises(ValueError, match=said):
        calibrate(**({"model": logit(1.0), "data": data, "progress": False} | arguments))


@pytest.mark.parametrize(("truth", "said"), [({"gamma": 1.0}, "`gamma`"), ({"beta": [1.0]}, "shape")])
def test_a_truth_that_does_not_fit_is_refused(data, truth, said):
    with pytest.raises(ValueError, match=said):
        recover(logit(1.0), data, truth, progress=False)


@pytest.mark.slow
def test_they_do_as_their_documentation_shows():
    for module in (_bands, inspect.getmodule(calibrate), inspect.getmodule(recover)):
        failed, _ = doctest.testmod(module)
        assert not failed
