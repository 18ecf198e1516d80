"""Fitting: published numbers, agreement of precisions, what is saved, and what is refused."""

from importlib.resources import files

import jax
import numpy as np
import pytest

from fairhand.inference import Posterior, fit
from fairhand.models import Menu, choice

KEY = jax.random.key(0)
pytestmark = pytest.mark.filterwarnings("ignore:`.*(effective draws|R-hat):RuntimeWarning")  # few draws on purpose


@pytest.fixture(scope="session")
def data():
    return choice.ChoiceData.from_long(
        files("fairhand") / "workflow/data/modechoice.csv",
        situation="individual",
        alternative="mode",
        choice="choice",
        attributes=["gc", "ttme", "hinc", "psize"],
    )


GREENE = choice.ConditionalLogit(("gc", "ttme"), {"hinc": "air"}, base="car", prior_scale=None)
MODEL = choice.ConditionalLogit(("gc", "ttme"), {"hinc": "air"}, base="car", numeraire="gc", unit="dollars")


@pytest.fixture(scope="session")
def flat(data):
    return fit(GREENE, data, key=KEY, draws=400, warmup=300, chains=4, progress=False)


@pytest.fixture(scope="session")
def posterior(data):
    return fit(MODEL, data, key=KEY, draws=150, warmup=150, chains=4, progress=False)


def test_the_flat_mode_is_greenes_table_to_the_printed_digits(data):
    mode = fit(GREENE, data, method="map", draws=10, progress=False).mode
    printed = {"gc": -0.0155, "ttme": -0.0961, "hinc:air": 0.0133}
    assert all(abs(mode[name] - value) <= 5.01e-5 for name, value in printed.items())
    constants = {"constant:air": 5.207, "constant:train": 3.869, "constant:bus": 3.163}
    assert all(abs(mode[name] - value) <= 5.01e-4 for name, value in constants.items())
    at = np.array([mode[name] for name in GREENE.names(data.alternatives)])
    with jax.enable_x64(True):
        assert abs(float(GREENE.log_likelihood(at, data)) + 199.128) <= 5e-4


def test_a_flat_posterior_centres_at_the_maximum_likelihood(flat, data):
    mode = fit(GREENE, data, method="map", draws=10, progress=False).mode
    for name, centre in mode.items():
        assert abs(flat.mean[name] - centre) < 0.35 * flat.sd[name]  # skewed, so near and not at
    assert flat.diagnosis.table["r_hat"].max() < 1.02
    assert flat.diagnosis.sampler["divergences"] == 0


def test_laplace_errors_are_close_to_those_of_nuts(flat, data):
    laplace = fit(GREENE, data, method="map", draws=1000, progress=False)
    for name in laplace.names:
        assert abs(laplace.sd[name] / flat.sd[name] - 1) < 0.2


def test_the_numeraire_is_negative_in_every_draw(posterior):
    assert np.all(posterior.coefficient[:, posterior.names.index("gc")] < 0)


@pytest.mark.slow
def test_precisions_agree_within_monte_carlo_error(posterior, data):
    single = fit(MODEL, data, key=KEY, draws=150, warmup=150, chains=4, precision="float32", progress=False)
    assert single.groups["posterior"]["coefficient"].dtype == np.float32
    for name in posterior.names:
        assert abs(single.mean[name] - posterior.mean[name]) < 0.3 * posterior.sd[name]


def test_equal_keys_give_equal_draws(posterior, data):
    again = fit(MODEL, data, key=KEY, draws=150, warmup=150, chains=4, progress=False)
    assert np.array_equal(again.coefficient, posterior.coefficient)


def test_a_saved_posterior_opens_the_same(posterior, tmp_path):
    path = tmp_path / "posterior.nc"
    posterior.save(path)
    opened = Posterior.load(path)
    assert np.array_equal(opened.coefficient, posterior.coefficient)
    assert opened.model == posterior.model
    assert np.array_equal(opened.data.attributes, posterior.data.attributes)
    assert opened.data.sha256 == posterior.data.sha256
    assert opened.diagnosis.table.equals(posterior.diagnosis.table)
    assert opened.mode == posterior.mode


def test_inference_data_has_the_groups_arviz_expects(posterior):
    found = posterior.inference_data(log_likelihood=True)
    assert {"posterior", "sample_stats", "observed_data", "constant_data", "log_likelihood"} <= set(found.groups())
    pointwise = posterior.log_likelihood(batch_size=37)
    assert pointwise.shape == (4, 150, 210)
    assert np.allclose(pointwise, posterior.log_likelihood(batch_size=600))


def test_worlds_of_strangers_and_of_the_same_people(posterior):
    supply = Menu.seats([20.0, 18.0, 12.0])
    new = posterior.world(supply=supply, new=50, outside="car", draws=7)
    same = posterior.world(supply=supply, same=True, outside="car", draws=7)
    assert new.num == same.num == 7
    assert new.one(3).population(KEY).values.shape == (50, 4)
    people = same.one(3).population(KEY)
    taken = np.asarray([0, 1, 2, 3])[np.argmax(np.asarray(people.values), 1)]
    assert np.array_equal(taken, posterior.data.chosen)  # car is last in the data too
    assert same.serves_the_sample
    assert not new.serves_the_sample


def test_an_interrupted_fit_resumes_to_the_same_draws(posterior, data, tmp_path, monkeypatch):
    from fairhand.inference import _loop

    path, calls = tmp_path / "fit.npz", []
    save = _loop._save

    def stop_after_the_second(*arguments):
        save(*arguments)
        calls.append(1)

    monkeypatch.setattr(_loop, "_save", stop_after_the_second)
    real = jax.block_until_ready

    def interrupted(x):
        if len(calls) == 0 and getattr(interrupted, "chunks", 0) == 2:
            raise KeyboardInterrupt
        interrupted.chunks = getattr(interrupted, "chunks", 0) + 1
        return real(x)

    monkeypatch.setattr(_loop.jax, "block_until_ready", interrupted)
    options = {"key": KEY, "draws": 150, "warmup": 150, "chains": 4, "progress": False, "checkpoint": path}
    partial = fit(MODEL, data, **options)
    monkeypatch.undo()
    assert any("Interrupted after 200 of 300" in note for note in partial.diagnosis.notes)
    assert partial.groups["posterior"].sizes["draw"] == 50
    finished = fit(MODEL, data, **options, resume=True)
    assert np.array_equal(finished.coefficient, posterior.coefficient)


def test_a_design_that_cannot_be_told_apart_is_refused_by_name(data):
    twice = choice.ConditionalLogit(("gc", "ttme", "hinc"), base="car")  # hinc does not vary over alternatives
    with pytest.raises(ValueError, match="hinc"):
        fit(twice, data, progress=False)


def test_too_few_draws_are_called_by_name(data):
    with pytest.warns(RuntimeWarning, match="R-hat|effective draws"):
        fit(MODEL, data, key=KEY, draws=10, warmup=150, chains=4, progress=False)
    with pytest.raises(ValueError, match="not to be trusted"):
        fit(MODEL, data, key=KEY, draws=10, warmup=150, chains=4, progress=False, strict=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"chains": 0}, "`chains`"), ({"draws": 0}, "`draws`"), ({"target_accept": 1.5}, "`target_accept`")],
)
def test_bad_arguments_are_refused_by_name(data, arguments, said):
    with pytest.raises(ValueError, match=said):
        fit(MODEL, data, progress=False, **arguments)
