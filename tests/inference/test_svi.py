"""Variational inference: exact where it must be, stopped for a reason, and found out where it fails."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from known_draws import simulated

from fairhand.inference import _loop, _svi
from fairhand.inference._density import Density
from fairhand.inference._svi import run_svi
from fairhand.models.choice import ConditionalLogit

pytestmark = pytest.mark.usefixtures("relaxed_ranks")
KEY = jax.random.key(5)
CENTRE = np.array([1.0, -2.0, 0.5])
COVARIANCE = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 4.0]])


def normal(centre, covariance):
    numpyro.sample("x", dist.MultivariateNormal(centre, covariance))


def banana(scale):
    x = numpyro.sample("x", dist.Normal(0.0, scale))
    numpyro.sample("y", dist.Normal(x**2, 0.2))


def no_events():
    """A log rate under which nothing was seen: skewed to the left."""
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.factor("none", -jnp.exp(jnp.asarray(x)))


@pytest.fixture(scope="module")
def gaussian():
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        target = Density(normal, {"x": np.zeros(3)}, jnp.float64)
        args = jnp.asarray(CENTRE), jnp.asarray(COVARIANCE)
        return target, args, run_svi(target, args, np.zeros(3), key=KEY, draws=2000, rate=0.05, progress=False)


def test_a_normal_is_found_exactly(gaussian):
    looped, kept, found = gaussian[2]
    z = kept["z"][0]
    assert kept["z"].shape == (1, 2000, 3)
    assert np.all(np.abs(z.mean(0) - CENTRE) < 0.1 * np.sqrt(np.diag(COVARIANCE)))
    assert np.allclose(np.cov(z.T), COVARIANCE, atol=0.35)
    assert np.allclose(z.std(0), np.sqrt(np.diag(COVARIANCE)), rtol=0.06)
    assert found.k_hat < 0.7
    assert found.resampled
    assert found.guide == "multivariate"
    assert found.problems == ()
    # The bound is tight: its value is the log of the normalising constant, 0 but for the constants of the density.
    late = found.elbo[-500:].mean()
    assert abs(late) < 0.05
    assert looped.status == ""


def test_it_says_when_and_why_it_stopped(gaussian):
    looped, _, found = gaussian[2]
    assert found.stopped.startswith(f"Stopped after {len(found.elbo)} steps: the ELBO rose by")
    assert 1000 <= len(found.elbo) < 20_000
    assert looped.stopped == found.stopped


def test_too_few_steps_are_called_by_name(gaussian):
    target, args, _ = gaussian
    with jax.enable_x64(True):
        _, _, found = run_svi(
            target, args, np.full(3, 30.0), key=KEY, draws=100, rate=0.05, max_steps=250, progress=False
        )
    assert "still rising after 250 steps: raise `max_steps`" in found.problems[0]
    assert "k-hat" in found.problems[1]
    assert not found.resampled


def test_an_interrupted_search_resumes_to_the_same_answer(gaussian, tmp_path, monkeypatch):
    target, args, (_, whole, _) = gaussian
    options = {"key": KEY, "draws": 2000, "rate": 0.05, "progress": False, "checkpoint": tmp_path / "svi.npz"}
    real, calls = jax.block_until_ready, []

    def interrupted(x):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(x)

    with jax.enable_x64(True):
        monkeypatch.setattr(_loop.jax, "block_until_ready", interrupted)
        looped, kept, found = run_svi(target, args, np.zeros(3), **options)
        monkeypatch.undo()
        assert looped.interrupted
        assert kept["z"].shape == (1, 2000, 3)
        assert "Interrupted after 500" in found.stopped
        _, resumed, _ = run_svi(target, args, np.zeros(3), **options, resume=True)
        _, again, _ = run_svi(target, args, np.zeros(3), **options, resume=True)  # it had stopped, and knows
    assert np.allclose(resumed["z"], whole["z"])
    assert np.array_equal(resumed["z"], again["z"])


def test_a_guide_that_cannot_bend_is_found_out():
    with jax.enable_x64(True):
        target = Density(banana, {"x": np.zeros(()), "y": np.zeros(())}, jnp.float64)
        _, kept, found = run_svi(target, (jnp.asarray(2.0),), np.zeros(2), key=KEY, draws=500, progress=False)
    assert found.k_hat > 0.7
    assert not found.resampled
    assert any("use `method='nuts'`" in p for p in found.problems)
    assert kept["z"].shape == (1, 500, 2)


def test_weights_set_right_what_the_guide_gets_nearly_right():
    x = np.linspace(-8, 4, 4001)
    chance = np.exp(-(x**2) / 2 - np.exp(x))
    chance /= chance.sum()
    mean = chance @ x
    sd = np.sqrt(chance @ (x - mean) ** 2)
    skew = chance @ ((x - mean) / sd) ** 3
    with jax.enable_x64(True):
        target = Density(no_events, {"x": np.zeros(())}, jnp.float64)
        _, kept, found = run_svi(target, (), np.zeros(1), key=KEY, draws=8000, progress=False)
    z = kept["z"].ravel()
    assert found.k_hat < 0.7
    assert skew < -0.15  # a normal guide has none
    assert abs(z.mean() - mean) < 0.03
    assert abs(z.std() / sd - 1) < 0.03
    assert abs(np.mean(((z - mean) / sd) ** 3) - skew) < 0.1


class Start:
    """A mode with its covariance, by Newton's method."""

    def __init__(self, target, args):
        z = target.start
        for _ in range(30):
            _, slope, curve = target.derivatives(z, args)
            z = z - jnp.linalg.solve(curve, slope)
        self.z, self.covariance = np.asarray(z), np.linalg.inv(np.asarray(target.derivatives(z, args)[2]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("guide", "precision"),
    [
        ("multivariate", "float32"),
        ("multivariate", "float64"),
        ("normal", "float64"),
        ("lowrank", "float64"),
    ],
)
def test_a_logit_agrees_with_the_laplace_approximation(guide, precision):
    data = simulated(people=40)
    model = ConditionalLogit(("time", "cost"))
    with jax.enable_x64(precision == "float64"):
        real = lambda x: jnp.asarray(x, precision) if np.asarray(x).dtype.kind == "f" else jnp.asarray(x)
        args = tuple(real(x) for x in model.arguments(data))
        target = Density(model.numpyro_model, model.start(data), precision)
        start = Start(target, args)
        _, kept, found = run_svi(target, args, start, key=KEY, draws=2000, guide=guide, particles=4, progress=False)
    z, sd = kept["z"][0], np.sqrt(np.diag(start.covariance))
    assert found.guide == guide
    if guide == "multivariate":
        assert found.k_hat < 0.5
        assert found.problems == ()
        assert np.max(np.abs(np.corrcoef(z.T) - start.covariance / np.outer(sd, sd))) < 0.1
    if found.resampled:
        assert np.all(np.abs(z.mean(0) - start.z) < 0.25 * sd)
        assert np.all(np.abs(z.std(0) / sd - 1) < 0.12)
    else:
        assert any("k-hat" in p for p in found.problems)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rate": 0.0}, "`rate` must be positive"),
        ({"draws": 0}, "`draws` must be at least 1"),
        ({"max_steps": 0}, "`max_steps` must be at least 1"),
    ],
)
def test_bad_arguments_are_refused_by_name(gaussian, arguments, said):
    target, args, _ = gaussian
    with jax.enable_x64(True), pytest.raises(ValueError, match=said):
        run_svi(target, args, np.zeros(3), key=KEY, progress=False, **arguments)


def test_a_plateau_is_told_from_a_slope():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=3000)
    assert _svi._plateau(noise[:500]) == ""  # too early to say
    assert _svi._plateau(noise).startswith("Stopped after 3000 steps")
    assert _svi._plateau(np.linspace(-5, 0, 3000) + noise) == ""
    assert "not finite" in _svi._plateau(np.full(250, np.nan))
