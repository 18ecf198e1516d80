"""The judge, judged: each fault that is planted is found and named, and clean draws are left in peace."""

import numpy as np
import pytest
from scipy import stats

from fairhand.inference._importance import k_hat, log_normal_density, resampled
from fairhand.inference.diagnosis import Diagnosis, diagnose

RNG = np.random.default_rng(0)
CHAINS, DRAWS = 4, 500


@pytest.fixture(autouse=True)
def same_numbers_whatever_runs_before():
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


def clean_sampler(**other):
    energy = RNG.normal(size=(CHAINS, DRAWS))
    plain = {
        "diverging": np.zeros((CHAINS, DRAWS), bool),
        "energy": energy,
        "n_steps": np.full((CHAINS, DRAWS), 7),
        "acceptance_rate": np.full((CHAINS, DRAWS), 0.85),
    }
    return plain | other


def clean(*names):
    return {name: RNG.normal(1.0, 0.2, (CHAINS, DRAWS)) for name in names}


def prior(*names, sd=2.0):
    return {name: RNG.normal(0.0, sd, 500) for name in names}


def judge(values=None, sampler=None, how="nuts", **other) -> Diagnosis:
    values = clean("cost", "time") if values is None else values
    sampler = clean_sampler() if sampler is None else sampler
    return diagnose(values, sampler, how, 0.8, (), **{"prior": prior("cost", "time"), **other})


def said(found: Diagnosis) -> str:
    return " ".join([*found.problems, *found.cautions])


def test_clean_draws_are_left_in_peace():
    found = judge(k_hat=0.3)
    assert found.problems == ()
    assert found.cautions == ()
    assert found.sampler["deepest_trees"] == 0
    assert {"r_hat", "ess_bulk", "ess_tail", "mc_error", "prior_sd", "contraction"} <= set(found.table.columns)
    assert np.all(np.abs(found.table["contraction"] - (1 - 0.2**2 / 2.0**2)) < 0.01)


def test_a_chain_that_sits_elsewhere_is_named_with_its_place():
    values = clean("cost", "time")
    values["time"][2] += 5.0
    found = said(judge(values))
    assert "`time`: R-hat is" in found
    assert "chain 3 sits at 6" in found
    assert "`cost`" not in found


def test_slow_draws_are_counted():
    walk = np.zeros((CHAINS, DRAWS))
    for t in range(1, DRAWS):
        walk[:, t] = 0.98 * walk[:, t - 1] + 0.2 * RNG.normal(size=CHAINS)
    assert "`cost`: only" in said(judge({"cost": walk}))


def test_a_stuck_chain_is_named():
    values = clean("cost", "time")
    for x in values.values():
        x[1] = x[1, 0]
    assert "Chain 2 is stuck: it moved in 0 % of its draws" in said(judge(values))


def test_many_parameters_that_fail_share_few_sentences():
    values = clean(*"abcdefgh")
    for x in values.values():
        x[0] += 3
    found = judge(values, prior=None)
    assert sum("R-hat" in p for p in found.problems) == 3
    assert "5 more parameters likewise." in said(found)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"diverging": RNG.random((CHAINS, DRAWS)) < 0.05}, "transitions diverged: raise `target_accept` from 0.8"),
        ({"energy": np.cumsum(RNG.normal(size=(CHAINS, DRAWS)), 1)}, "E-BFMI is 0.0"),
        ({"n_steps": np.where(RNG.random((CHAINS, DRAWS)) < 0.2, 1023, 511)}, "reached the deepest tree (1023 steps)"),
    ],
)
def test_faults_of_the_sampler_are_found(fault, sentence):
    assert sentence in said(judge(sampler=clean_sampler(**fault)))


def test_a_number_that_only_the_prior_knows_is_named():
    values = clean("cost", "time")
    values["time"] = RNG.normal(0.0, 1.95, (CHAINS, DRAWS))
    found = judge(values)
    assert found.problems == ()  # the draws are right
    assert len(found.cautions) == 1
    assert found.cautions[0].startswith("`time`: the data moved the prior little (contraction ")
    assert abs(found.table.loc["time", "contraction"]) < 0.2


def test_a_posterior_far_from_its_prior_is_named():
    values = clean("cost", "time")
    values["cost"] += 20
    assert "`cost`: the posterior lies 10" in said(judge(values))


def test_a_sum_that_is_told_hides_a_difference_that_is_not():
    total, difference = RNG.normal(0, 0.05, (CHAINS, DRAWS)), RNG.normal(0, 1.9, (CHAINS, DRAWS))
    values = {**clean("cost"), "a": (total + difference) / np.sqrt(2), "b": (total - difference) / np.sqrt(2)}
    found = judge(values, prior=prior("cost", "a", "b"))
    assert found.problems == ()
    assert len(found.cautions) == 1
    words = found.cautions[0]
    assert "The data say little of" in words
    assert "`a`" in words
    assert "`b`" in words
    assert "`cost`" not in words
    assert "- " in words.split("(")[0]


def test_without_a_prior_a_tie_is_found_in_the_correlations():
    a = RNG.normal(size=(CHAINS, DRAWS))
    values = {**clean("cost"), "a": a, "b": a + 0.001 * RNG.normal(size=a.shape)}
    found = judge(values, prior=None)
    assert "nearly flat along one combination" in said(found)
    assert "`cost`" not in said(found)
    assert judge(prior=None).cautions == ()


@pytest.mark.parametrize(
    ("k", "sentence"),
    [
        (1.2, "k-hat is 1.20 (above 0.7): the approximation misses part of the posterior"),
        ({"ann": 0.1, "bob": 0.9}, "k-hat is above 0.7 for `bob` (0.90), of 2"),
        (float("nan"), "k-hat is nan"),
    ],
)
def test_k_hats_above_the_threshold_are_named(k, sentence):
    assert sentence in said(judge(how="laplace", sampler={}, k_hat=k))


def test_independent_draws_have_no_chains_to_judge():
    found = judge(how="svi", sampler={}, k_hat={"ann": 0.1, "bob": 0.4})
    assert said(found) == ""
    assert "r_hat" not in found.table.columns
    assert found.sampler == {"k_hat": 0.4}


def test_a_diagnosis_is_written_and_read():
    import json

    values = clean("cost", "time")
    values["fixed"] = np.ones((CHAINS, DRAWS))
    found = judge(values, k_hat=1.0)
    again = Diagnosis.from_spec(json.loads(json.dumps(found.to_spec())))
    assert again.table.equals(found.table)
    assert (again.problems, again.cautions, again.sampler) == (found.problems, found.cautions, found.sampler)


def test_k_hat_tells_a_good_approximation_from_a_bad_one():
    covariance = np.array([[1.0, 0.5], [0.5, 2.0]])
    z = RNG.multivariate_normal([1.0, 2.0], covariance, 2000)
    q = log_normal_density(z, np.array([1.0, 2.0]), covariance)
    referee = stats.multivariate_normal([1.0, 2.0], covariance).logpdf(z)
    np.testing.assert_allclose(q - q[0], referee - referee[0], rtol=1e-9, atol=1e-9)
    wider = stats.multivariate_normal([1.0, 2.0], 0.8 * covariance).logpdf(z) - q
    assert k_hat(wider) < 0.5
    narrow = RNG.normal(size=10_000)
    assert k_hat(stats.norm(0, 4).logpdf(narrow) - stats.norm(0, 1).logpdf(narrow)) > 0.75
    assert k_hat(np.zeros(1000)) < 0  # exact
    assert k_hat(np.full(1000, -np.inf)) == np.inf


def test_resampling_sets_draws_right():
    z = RNG.normal(0.0, 1.0, 20_000)
    weights = stats.norm(0.5, 0.7).logpdf(z) - stats.norm(0.0, 1.0).logpdf(z)
    right = z[resampled(weights, 10_000, 0)]
    assert abs(right.mean() - 0.5) < 0.03
    assert abs(right.std() - 0.7) < 0.03
