"""People integrated out: the likelihood against quadrature, tastes against quadrature, engines against each other."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fairhand as fh
from fairhand.inference import _integrated, _marginal
from fairhand.inference._drawn import Settings
from fairhand.inference._marginal import marginal, placed, settle
from fairhand.inference._points import log_sums, log_terms, normal_numbers
from fairhand.inference._precision import cast
from fairhand.inference._whole import flat
from fairhand.models import choice
from fairhand.models.hierarchy import Tastes

KEY = jax.random.key(0)
PEOPLE, TIMES = 24, 5


def simulated(people=PEOPLE, times=TIMES, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(people, times, 3, 2))
    beta = np.array([1.0, -1.0]) + np.array([0.8, 0.6]) * rng.normal(size=(people, 1, 1, 2))
    taken = ((x * beta).sum(-1) + rng.gumbel(size=x.shape[:3])).argmax(-1)
    person = np.repeat(np.arange(people), times)
    return choice.ChoiceData(x.reshape(-1, 3, 2), taken.ravel(), ("a", "b", "c"), ("size", "price"), person=person)


DATA = simulated()
LOGIT = choice.ConditionalLogit(("size", "price"), constants=False)
MODEL = choice.MixedLogit(LOGIT, correlated=True)
ONE_FIXED = choice.MixedLogit(LOGIT, random="size")
SETTINGS = Settings(KEY, 50, 50, 2, 0.8, 256, "float64", 1, "auto", {"progress": False})


@pytest.fixture(scope="module")
def settled():
    """For both models: arguments, marginal density, points and mode."""
    found = {}
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        for model in (MODEL, ONE_FIXED):
            args = cast(tuple(jnp.asarray(x) for x in model.arguments(DATA)), jnp.dtype("float64"))
            target = marginal(model, model.start(DATA), jnp.dtype("float64"))
            found[model] = (args, target, *settle(target, args, flat(model.start(DATA)), SETTINGS))
    return found


def quadrature(model, tastes: Tastes, args) -> tuple[np.ndarray, tuple]:
    """Each person's log-likelihood by Gauss-Hermite nodes around their prior, 60 in each dimension."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    dims = tastes.root.shape[0]
    grid = np.stack(np.meshgrid(*[nodes] * dims, indexing="ij"), -1).reshape(-1, dims)
    weight = np.prod(np.stack(np.meshgrid(*[weights] * dims, indexing="ij"), -1).reshape(-1, dims), 1)
    weight = weight / weight.sum()
    taste = np.asarray(tastes.mean) + grid @ np.asarray(tastes.root).T
    each = lambda b: model.person_log_likelihood(jnp.broadcast_to(b, (PEOPLE, dims)), tastes.fixed, *args)
    height = np.asarray(jax.lax.map(each, jnp.asarray(taste)))
    return np.log(weight @ np.exp(height)), (grid, taste, weight[:, None] * np.exp(height))


@pytest.mark.parametrize("model", [MODEL, ONE_FIXED], ids=["recycled", "evaluated anew"])
def test_the_likelihood_is_that_of_quadrature(model, settled):
    args, target, points, mode = settled[model]
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        fine, free = (
            placed(target, args, np.vstack([mode.z] * 3), 2048, key=jax.random.key(3), matched=m) for m in (True, False)
        )
        for step in (0.0, 0.7, -0.7):  # also away from where the points were placed
            z = mode.z + step * np.sqrt(np.diag(mode.covariance))
            tastes = target.tastes_at(jnp.asarray(z), args)
            exact, _ = quadrature(model, tastes, args)
            for at in (points, fine, free):
                terms, rest = (np.asarray(x) for x in log_terms(model, tastes, at, args))
                found = log_sums(model, tastes, at, args)
                # Errors of plain Monte Carlo with these weights; Sobol numbers do better.
                weight = np.exp(terms + rest - np.asarray(found))
                error = np.sqrt((weight**2).sum(0) - 1 / len(weight))
                assert np.max(np.abs(np.asarray(found) - exact) / error) < 4
                assert np.sqrt(np.mean((np.asarray(found) - exact) ** 2)) < 2 / len(weight) ** 0.5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_number_is_infinite(dtype):
    """In float32 a fraction just below 1 must not be rounded to it."""
    with jax.enable_x64(dtype == "float64"):
        z = np.asarray(normal_numbers(jnp.array([0, 2**32 - 1], jnp.uint32), jnp.dtype(dtype)))
    assert z.dtype == dtype
    assert np.all(np.isfinite(z))
    assert abs(z.sum()) < 0.1 < 5 < z[1]


def test_the_mode_is_that_of_the_quadrature(settled):
    """Climbing by our points ends where the exact gradient vanishes, in units of the posterior's spread."""
    args, target, _, mode = settled[ONE_FIXED]
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):

        def potential(z):
            shared = target.density.unravel(jnp.asarray(z))
            tastes = target.tastes_at(jnp.asarray(z), args)
            prior = -0.5 * (shared["mean"][0] / 2.5) ** 2 - 0.5 * (shared["beta"][0] / 2.5) ** 2
            spread = jnp.exp(shared["spread"][0])
            return quadrature(ONE_FIXED, tastes, args)[0].sum() + prior - 0.5 * spread**2 + shared["spread"][0]

        sd = np.sqrt(np.diag(mode.covariance))
        for k in range(3):
            step = 0.05 * sd[k] * np.eye(3)[k]
            slope = (potential(mode.z + step) - potential(mode.z - step)) / 0.1
            assert abs(float(slope)) < 0.05


@pytest.mark.parametrize("model", [MODEL, ONE_FIXED], ids=["weighed", "proposed"])
def test_tastes_have_the_moments_of_quadrature(model, settled):
    args, target, points, mode = settled[model]
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        tastes = target.tastes_at(jnp.asarray(mode.z), args)
        draws = np.asarray(target.tastes(jnp.tile(mode.z, (2000, 1)), points, args, KEY))[..., 0]
        _, (_, taste, mass) = quadrature(model, tastes, args)
        share = mass / mass.sum(0)
        mean = taste[:, 0] @ share
        sd = np.sqrt(((taste[:, [0]] - mean) ** 2 * share).sum(0))
    assert np.max(np.abs(draws.mean(0) - mean) / sd) < 4.5 / np.sqrt(2000)
    np.testing.assert_allclose(draws.std(0), sd, rtol=0.12)


def test_a_wrong_law_of_tastes_is_caught_by_the_same_check(settled):
    """Negative control of the two tests above."""
    args, target, points, mode = settled[ONE_FIXED]
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        tastes = target.tastes_at(jnp.asarray(mode.z), args)
        exact, _ = quadrature(ONE_FIXED, tastes._replace(mean=tastes.mean + 0.3), args)
        found = log_sums(ONE_FIXED, tastes, points, args)
        assert np.max(np.abs(np.asarray(found) - exact)) > 0.1


@pytest.fixture(scope="module")
def fitted():
    quiet = {"draws": 300, "warmup": 200, "chains": 2, "progress": False, "key": KEY, "contraction": False}
    with warnings.catch_warnings(action="ignore"):  # few draws on purpose
        return {m: fh.fit(MODEL, DATA, method=m, **quiet) for m in ("map", "marginal")}


@pytest.mark.slow
def test_every_result_says_how_it_came_about_and_how_good_it_is(fitted):
    for posterior in fitted.values():
        assert "24 people integrated out at 1024 points each" in posterior.how
        assert "k-hat" in str(posterior)
        assert posterior.sites["taste"].shape == (600, PEOPLE, 2)
    assert fitted["marginal"].method == "marginal"
    assert "NUTS, 2 chains" in fitted["marginal"].how


@pytest.mark.slow
def test_worlds_carry_the_draws(fitted):
    from fairhand.models import Menu

    supply = Menu.seats(np.array([5.0, 5.0]))
    for where in ({"new": 30}, {"same": True}):
        world = fitted["marginal"].world(supply=supply, outside="c", draws=5, **where)
        assert world.num == 5
        values = world.one(2).population(KEY).values
        assert values.shape == (30 if "new" in where else PEOPLE, 3)
        if "same" in where:  # whoever took an option values it most
            last = np.array([DATA.chosen[DATA.person == i][-1] for i in range(PEOPLE)])
            np.testing.assert_array_equal(np.asarray(values).argmax(1), last)


def test_what_is_not_a_hierarchy_cannot_be_integrated():
    with pytest.raises(ValueError, match="all are alike"):
        fh.fit(LOGIT, DATA, method="marginal")
    with pytest.raises(ValueError, match="`points` must be"):
        fh.fit(MODEL, DATA, points=100)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_too_few_points_are_taken_again(monkeypatch, tmp_path):
    """Where weights cannot set draws right; not with points that were asked for, nor in the middle of a checkpoint."""
    monkeypatch.setattr(_marginal, "EACH", (32, 32))
    monkeypatch.setattr(_integrated, "GOOD_K", -np.inf)
    monkeypatch.setattr(_integrated, "TOLERATED", 0.0)
    options = {"draws": 50, "warmup": 50, "chains": 2, "progress": False, "contraction": False}
    how = lambda **more: fh.fit(MODEL, DATA, **options, **more).how
    assert "at 128 points each" in (again := how())
    assert again.endswith("32 points were too few, so all was done again.")
    assert "at 32 points each" in how(points=32)
    assert "at 32 points each" in how(checkpoint=tmp_path / "fit")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_chains_that_get_lost_are_given_up_where_the_engine_was_left_to_us(monkeypatch):
    monkeypatch.setattr(_integrated, "LOST", -1.0)
    options = {"draws": 50, "warmup": 50, "chains": 2, "progress": False, "contraction": False}
    found = fh.fit(MODEL, DATA, points=32, **options)
    assert found.method == "nuts"
    assert found.how.endswith("points placed for people could not follow.")
    assert fh.fit(MODEL, DATA, points=32, method="marginal", **options).method == "marginal"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_engines_agree():
    """The marginal engine against everything at once, at matched accuracy: means within 0.1 sd, sds within 10 %."""
    data = simulated(100, 8, seed=2)
    model = choice.MixedLogit(LOGIT)
    long = fh.fit(model, data, method="nuts", draws=1200, warmup=400, chains=4, progress=False, key=KEY)
    for method in ("marginal", "svi"):
        found = fh.fit(model, data, method=method, draws=1000, warmup=300, chains=4, progress=False, key=KEY)
        for name, mean in found.mean.items():
            noise = 3 * np.hypot(long.diagnosis.table.loc[name, "mc_error"], long.sd[name] / np.sqrt(2000))
            assert abs(mean - long.mean[name]) < 0.1 * long.sd[name] + noise, (method, name)
            assert abs(found.sd[name] / long.sd[name] - 1) < 0.1 + 0.05, (method, name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_precisions_agree():
    both = {p: fh.fit(MODEL, DATA, precision=p, draws=400, progress=False, key=KEY) for p in ("float32", "float64")}
    for name, mean in both["float64"].mean.items():
        noise = both["float64"].diagnosis.table.loc[name, "mc_error"] * 2**0.5
        assert abs(both["float32"].mean[name] - mean) < 5 * noise, name
