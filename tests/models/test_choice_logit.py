"""The conditional logit: printed estimates, an independent referee, derivatives, precision, priors, corrections."""

import importlib.resources
import json
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from jax.test_util import check_grads
from numpyro.infer import Predictive
from numpyro.infer.util import log_density
from statsmodels.discrete.conditional_models import ConditionalLogit as Referee

from fairhand.models.choice import ChoiceData, ConditionalLogit
from helpers import assert_close

PATH = importlib.resources.files("fairhand") / "workflow/data/modechoice.csv"
DATA = ChoiceData.from_long(
    PATH, situation="individual", alternative="mode", choice="choice", attributes=["gc", "ttme", "hinc", "psize"]
)
GREENE = ConditionalLogit(("gc", "ttme"), {"hinc": "air"}, base="car")
PRINTED = np.array([-0.0155, -0.0961, 0.0133, 5.207, 3.869, 3.163])
POPULATION = {"air": 0.14, "train": 0.13, "bus": 0.09, "car": 0.64}
DRAWS = np.random.default_rng(0).normal(PRINTED, 0.1 * np.abs(PRINTED), (3, 6))


def maximum(model: ConditionalLogit, data: ChoiceData) -> tuple[np.ndarray, np.ndarray, float]:
    """Estimates, standard errors and log-likelihood, by Newton's method in 64 bits."""
    with jax.enable_x64(True):
        fn = jax.jit(lambda b: model.log_likelihood(b, data))
        slope, curve = jax.jit(jax.grad(fn)), jax.jit(jax.hessian(fn))
        b = jnp.zeros(len(model.names(data.alternatives)))
        for _ in range(30):
            b = b - jnp.linalg.solve(curve(b), slope(b))
        se = jnp.sqrt(jnp.diag(jnp.linalg.inv(-curve(b))))
        return np.asarray(b), np.asarray(se), float(fn(b))


def test_maximum_is_the_printed_one():
    # W. H. Greene, Econometric Analysis: travel mode, conditional logit, log-likelihood -199.128.
    estimate, _, value = maximum(GREENE, DATA)
    assert round(value, 3) == -199.128
    assert GREENE.names(DATA.alternatives)[:3] == ("gc", "ttme", "hinc:air")
    assert GREENE.names(DATA.alternatives)[3:] == ("constant:air", "constant:train", "constant:bus")
    assert [round(x, digits) for x, digits in zip(estimate, (4, 4, 4, 3, 3, 3), strict=True)] == PRINTED.tolist()


def test_statsmodels_agrees_on_likelihood_estimates_and_errors():
    estimate, error, value = maximum(GREENE, DATA)
    taken = (np.arange(4) == DATA.chosen[:, None]).astype(int)
    referee = Referee(taken.ravel(), GREENE.design(DATA).reshape(-1, 6), groups=np.repeat(np.arange(210), 4))
    found = referee.fit(method="bfgs", start_params=estimate * 0.9, gtol=1e-7, disp=False)
    assert_close(np.float64(referee.loglike(estimate)), value)
    np.testing.assert_allclose(found.params, estimate, rtol=1e-4)
    np.testing.assert_allclose(found.bse, error, rtol=1e-3)
    for b in DRAWS:
        with jax.enable_x64(True):
            assert_close(GREENE.log_likelihood(b, DATA), referee.loglike(b))


@pytest.mark.slow
def test_derivatives_match_finite_differences():
    with jax.enable_x64(True):
        scale = jnp.asarray(GREENE.arguments(DATA)[-1])

        def standardised(z):
            return GREENE.log_likelihood(z / scale, DATA)

        check_grads(standardised, (jnp.asarray(PRINTED) * scale,), order=2, modes=("fwd", "rev"), rtol=1e-5)


def test_precisions_agree(dtype):
    b = jnp.asarray(DRAWS, dtype)
    value = GREENE.log_likelihood(b, DATA)
    assert value.dtype == dtype
    exact = [Referee_loglike(b) for b in np.asarray(b, np.float64)]
    np.testing.assert_allclose(value, exact, rtol={"float32": 1e-5, "float64": 1e-12}[dtype.name])
    slope = jax.grad(lambda b: GREENE.log_likelihood(b, DATA))(b[0])
    assert slope.dtype == dtype


def Referee_loglike(b: np.ndarray) -> float:
    """By hand, in NumPy."""
    worth = GREENE.design(DATA) @ b
    return float(np.sum(worth[np.arange(210), DATA.chosen] - np.log(np.exp(worth).sum(1))))


def test_draws_batch_and_jit_agree():
    arrays = GREENE.arguments(DATA)[:3]
    batch = GREENE.pointwise(DRAWS, *arrays)
    assert batch.shape == (3, 210)
    each = jnp.stack([jax.jit(GREENE.pointwise)(jnp.asarray(b), *arrays) for b in DRAWS])
    assert_close(batch, each, loosen=5)
    assert_close(batch.sum(-1), GREENE.log_likelihood(DRAWS, DATA))


def missing_some() -> ChoiceData:
    can = np.random.default_rng(1).random((210, 4)) < 0.7
    can[np.arange(210), DATA.chosen] = True
    return ChoiceData(DATA.attributes, DATA.chosen, DATA.alternatives, DATA.columns, available=can)


def test_unavailable_alternatives_count_for_nothing(dtype):
    data = missing_some()
    b = jnp.asarray(PRINTED, dtype)
    worth = np.where(data.available, np.exp(GREENE.design(DATA) @ PRINTED), 0)
    share = worth / worth.sum(1, keepdims=True)
    found = GREENE.probabilities(b, data)
    assert np.all(found[~data.available] == 0)
    np.testing.assert_allclose(found, share, rtol=1e-4, atol=1e-7)
    huge = data.changed(attributes=np.where(data.available[..., None], data.attributes, 1e6))
    assert GREENE.log_likelihood(b, huge) == GREENE.log_likelihood(b, data)
    assert jnp.all(jnp.isfinite(jax.grad(GREENE.log_likelihood)(b, data)))
    assert jnp.all(jnp.isfinite(jax.hessian(GREENE.log_likelihood)(b, data)))


def test_weights_count_situations_several_times():
    twice = np.where(np.arange(210) < 50, 2, 1)
    again = np.repeat(np.arange(210), twice)
    fields = {k: getattr(DATA, k) for k in ("alternatives", "columns")}
    repeated = ChoiceData(DATA.attributes[again], DATA.chosen[again], **fields)
    weighted = DATA.changed(weight=twice.astype(float))
    assert_close(GREENE.log_likelihood(PRINTED, weighted), GREENE.log_likelihood(PRINTED, repeated), loosen=5)
    assert weighted.shares == pytest.approx(repeated.shares)


MODELS = {
    "greene": GREENE,
    "numeraire": ConditionalLogit(("gc", "ttme"), {"hinc": ("air", "bus")}, numeraire="gc", unit="dollars"),
    "last": ConditionalLogit(("ttme", "gc"), numeraire="gc", constants=False, prior_scale=1.0),
    "flat": ConditionalLogit(("gc", "ttme"), numeraire="gc", prior_scale=math.inf),
    "alone": ConditionalLogit("gc", numeraire="gc", constants=False),
    "shares": ConditionalLogit("ttme", base="bus", population_shares=POPULATION, prior_scale=None),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_spec_round_trip_through_json(model):
    again = ConditionalLogit.from_spec(json.loads(json.dumps(model.to_spec())))
    assert again == model
    assert hash(again) == hash(model)
    assert again.numpyro_model == model.numpyro_model  # so that equal models share a compiled program
    assert jax.tree.leaves(model) == []


@pytest.mark.usefixtures("relaxed_ranks")
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_joint_density_is_prior_plus_weighted_likelihood(model, dtype):
    weight = np.linspace(0.0, 2.0, 210)  # a weight of 0 included
    data = missing_some().changed(weight=weight)
    arrays = model.arguments(data)
    names = model.names(data.alternatives)
    scale = arrays[-1]
    values = {k: jnp.asarray(v + 0.3, dtype) for k, v in model.start(data).items()}
    density, trace = log_density(model.numpyro_model, arrays, {}, values)
    coefficient = np.full(len(names), 0.3)
    if model.numeraire is not None:
        coefficient[names.index(model.numeraire)] *= -1
    coefficient = coefficient / scale
    np.testing.assert_allclose(trace["coefficient"]["value"], coefficient, rtol=1e-6)
    expected = float(model.log_likelihood(jnp.asarray(coefficient, dtype), data))
    if model.prior_scale is not None:
        wide = model.prior_scale
        free = len(names) - (model.numeraire is not None)
        expected += free * (-0.5 * (0.3 / wide) ** 2 - math.log(wide) - 0.5 * math.log(2 * math.pi))
        if model.numeraire is not None:
            z = (math.log(0.3) - math.log(0.2 * wide)) / 1.25
            expected += -0.5 * z**2 - math.log(0.3 * 1.25) - 0.5 * math.log(2 * math.pi)
    np.testing.assert_allclose(density, expected, rtol=2e-6)
    without, _ = log_density(model.numpyro_model, arrays[:-1], {}, values)  # the scale is found from the design
    np.testing.assert_allclose(without, density, rtol=2e-5)


@pytest.mark.usefixtures("relaxed_ranks")
def test_sites_fit_their_dimensions_and_predict_the_logit(key):
    model, data = MODELS["numeraire"], missing_some()
    design, available, _, weight, scale = model.arguments(data)
    draws = Predictive(model.numpyro_model, num_samples=2)(key, design, available, None, weight, scale)
    sizes = {k: len(v) for k, v in model.coords(data).items()}
    for site, dims in model.dims().items():
        assert draws[site].shape[1:] == tuple(sizes[d] for d in dims)
    assert np.all(draws["coefficient"][:, 0] < 0)
    with numpyro.validation_enabled():
        fixed = {"beta": jnp.zeros((4000, 6)), "numeraire": jnp.full(4000, 0.5)}
        drawn = Predictive(model.numpyro_model, fixed)(key, design, available, None, weight, scale)
    share = model.probabilities(np.array([-0.5 / scale[0], *np.zeros(6)]), data)
    count = np.stack([(drawn["chosen"] == j).mean(0) for j in range(4)], 1)
    assert np.all(count[~available] == 0)
    z = (count - share) / np.sqrt(np.maximum(share * (1 - share), 1e-9) / 4000)
    assert np.abs(np.where((share > 0.01) & (share < 0.99), z, 0)).max() < 5


def test_prior_does_not_depend_on_units():
    cents = DATA.changed(attributes=DATA.attributes * np.array([100.0, 1.0, 1000.0, 1.0]))
    for model in MODELS.values():
        ratio = model.arguments(cents)[-1] / model.arguments(DATA)[-1]
        by = {"gc": 100.0, "hinc:air": 1000.0, "hinc:bus": 1000.0}
        np.testing.assert_allclose(ratio, [by.get(n, 1.0) for n in model.names(DATA.alternatives)])


CORRECTED = ConditionalLogit(("gc", "ttme"), {"hinc": "air"}, base="car", population_shares=POPULATION)


def test_correction_recovers_the_population_from_a_choice_based_sample():
    rng = np.random.default_rng(5)
    truth = np.array([-1.0, 1.5, -1.0])
    model = ConditionalLogit("x", base="c")
    x = rng.normal(size=(60_000, 3, 1))
    everyone = ChoiceData(x, np.zeros(len(x), int), ("a", "b", "c"), ("x",))
    worth = model.design(everyone) @ truth
    chosen = (worth + rng.gumbel(size=worth.shape)).argmax(1)
    share = np.bincount(chosen) / len(chosen)
    quota = [700, 700, 2600]
    sample = np.concatenate([rng.choice(np.flatnonzero(chosen == j), n, replace=False) for j, n in enumerate(quota)])
    data = ChoiceData(x[sample], chosen[sample], ("a", "b", "c"), ("x",))
    model = ConditionalLogit("x", base="c", population_shares=dict(zip("abc", share, strict=True)))
    estimate, error, _ = maximum(model, data)
    z = (np.asarray(model.correct(estimate, data)) - truth) / error
    assert np.abs(z).max() < 3.5
    assert np.abs((estimate - truth) / error)[1:].min() > 5  # uncorrected, the constants are far off
    assert model.correct(np.stack([estimate] * 2), data).shape == (2, 3)


def test_predicted_shares_of_the_population():
    """Three claims, from theory.

    As estimated, mean probabilities are the sample's shares: the score of a constant is zero. Corrected, and over the
    travellers weighted by share over sample share of what they chose, they estimate the population's shares but need
    not equal them. They do exactly under the same weights averaged over the choice, `E[Q/H | x]`, which is Cosslett's
    (1981) estimate of who there is; and under weighted estimation (Manski and Lerman), whose score says so.
    """
    estimate, _, _ = maximum(CORRECTED, DATA)
    population, sample = (np.array([of[a] for a in DATA.alternatives]) for of in (POPULATION, DATA.shares))
    with jax.enable_x64(True):
        fitted = np.asarray(CORRECTED.probabilities(estimate, DATA))
        corrected = np.asarray(CORRECTED.probabilities(CORRECTED.correct(estimate, DATA), DATA))
    np.testing.assert_allclose(fitted.mean(0), sample, atol=1e-10)
    chance = (population / sample)[DATA.chosen] / 210
    assert chance.sum() == pytest.approx(1, abs=1e-12)
    error = np.sqrt(chance**2 @ (corrected - population) ** 2)  # of who was sampled, the model taken as known
    assert np.abs((chance @ corrected - population) / error).max() < 3
    cosslett = fitted @ (population / sample) / 210
    np.testing.assert_allclose(cosslett @ corrected, population, atol=1e-10)
    weighted = DATA.changed(weight=chance * 210)
    manski_lerman, _, _ = maximum(GREENE, weighted)
    with jax.enable_x64(True):
        np.testing.assert_allclose(
            chance @ np.asarray(GREENE.probabilities(manski_lerman, DATA)), population, atol=1e-9
        )


def test_correction_leaves_all_but_constants():
    moved = np.asarray(CORRECTED.correct(PRINTED, DATA)) - PRINTED.astype(np.float32)
    assert np.all(moved[:3] == 0)
    log = {a: math.log(DATA.shares[a] / POPULATION[a]) for a in POPULATION}
    np.testing.assert_allclose(-moved[3:], [log[a] - log["car"] for a in ("air", "train", "bus")], rtol=1e-5)
    assert np.all(np.asarray(GREENE.correct(PRINTED, DATA)) == PRINTED.astype(np.float32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attributes": ("gc", "gc")}, "coefficient ['gc'] is named twice"),
        ({"constants": False}, "the model has no coefficient"),
        ({"attributes": "gc", "numeraire": "ttme"}, "`numeraire` must be one of `attributes` ('gc',), got 'ttme'"),
        ({"attributes": "gc", "prior_scale": -1.0}, "`prior_scale` must be positive"),
        ({"attributes": "gc", "constants": False, "population_shares": POPULATION}, "`population_shares` correct the"),
        ({"population_shares": {**POPULATION, "car": 0.5}}, "`population_shares` must be positive and sum to 1"),
    ],
)
def test_bad_models_are_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ConditionalLogit(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base": "boat"}, "the model names ['boat'], but the alternatives of the data are"),
        ({"interactions": {"hinc": "boat"}}, "the model names ['boat']"),
        ({"interactions": {"age": "air"}}, "modechoice.csv has no attribute `age`: name it in `attributes`"),
        ({"population_shares": {"air": 0.4, "car": 0.6}}, "has no share for ['train', 'bus']"),
    ],
)
def test_models_that_do_not_fit_the_data_are_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ConditionalLogit(**arguments).design(DATA)


def test_never_chosen_alternatives_cannot_be_corrected():
    data = DATA.changed(chosen=np.where(DATA.chosen == 2, 3, DATA.chosen))
    with pytest.raises(ValueError, match=re.escape("['bus'] is never chosen")):
        CORRECTED.correct(PRINTED, data)


def test_unknown_keys_of_a_spec_are_refused():
    with pytest.raises(ValueError, match=re.escape("unknown keys ['colour']")):
        ConditionalLogit.from_spec({**GREENE.to_spec(), "colour": 1})
    with pytest.raises(ValueError, match="of model 'Probit'"):
        ConditionalLogit.from_spec({**GREENE.to_spec(), "model": "Probit"})
