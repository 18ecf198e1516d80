"""Prior and posterior predictive: against closed forms, the same whatever the batch, and faults of a model found."""

import doctest
import importlib
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from known_draws import MODEL, TRUTH, of_draws, of_laws, simulated

import fairhand as fh
from fairhand.inference import _batches, predictive
from fairhand.inference._statistics import agreement
from fairhand.inference.prior import prior_scalars
from fairhand.models import choice, ratings

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def choices():
    return simulated()


@pytest.fixture(scope="module")
def known(choices):
    return of_draws(choices)


@pytest.fixture(scope="module")
def laws():
    return of_laws()


def test_the_prior_is_the_one_that_is_written_down(choices):
    before = fh.prior(MODEL, choices, draws=4000, key=KEY)
    scale = MODEL.arguments(choices)[-1]
    assert before.method == "prior"
    for k, name in enumerate(before.names):
        assert abs(before.sd[name] * scale[k] / 2.5 - 1) < 0.05
        assert abs(before.mean[name] * scale[k]) < 0.15
    assert before.diagnosis.problems == ()
    assert before.diagnosis.cautions == ()
    again = fh.prior(MODEL, choices, draws=4000, key=KEY)
    assert np.array_equal(again.coefficient, before.coefficient)


def test_the_prior_of_a_rating_model_is_written_down_too(laws):
    before = fh.prior(laws.model, laws.data, draws=2000, key=KEY)
    assert before.sites["mean"].shape == (2000, 3)
    found = before.scalars["mean_centre"]
    known = laws.model
    expected = next(p for p in ratings.families.family_of(known.family).parameters if p.name == "mean").centre
    assert abs(found.mean() - expected[0]) < 4 * expected[1] / np.sqrt(2000)
    assert abs(found.std() / expected[1] - 1) < 0.1


def test_what_the_prior_expects_can_be_checked(choices):
    before = fh.prior(MODEL, choices, draws=200)
    again = before.predictive()
    assert again["chosen"].shape == (1, 200, choices.num_situations)
    wide = before.check()  # a wide prior allows for whatever was seen
    assert wide.problems == ()
    groups = set(before.inference_data(predictive=False).groups())
    assert "prior" in groups
    assert "posterior" not in groups


@pytest.mark.parametrize("numeraire", [None, "cost"])
def test_a_flat_prior_is_refused_by_name(choices, numeraire):
    flat = choice.ConditionalLogit(("time", "cost"), prior_scale=None, numeraire=numeraire)
    with pytest.raises(ValueError, match="the prior of `beta`.* is improper.*prior_scale"):
        fh.prior(flat, choices)
    assert prior_scalars(flat, choices, KEY) is None
    with pytest.raises(ValueError, match="`model` must be a model"):
        fh.prior("logit", choices)


def test_prior_scalars_are_the_scalars_of_the_prior(choices):
    found = prior_scalars(MODEL, choices, KEY, draws=3000)
    before = fh.prior(MODEL, choices, draws=3000, key=jax.random.key(9))
    for name, x in found.items():
        assert x.shape == (3000,)
        assert abs(x.std() / before.sd[name] - 1) < 0.1


def test_replicated_choices_have_the_models_chances(choices):
    fixed = of_draws(choices, sd=0.0, draws=2000)
    again = fixed.predictive(key=KEY)["chosen"].values.reshape(-1, choices.num_situations)
    chance = np.asarray(MODEL.probabilities(TRUTH, choices))
    count = np.stack([(again == j).mean(0) for j in range(3)], 1)
    z = (count - chance) / np.sqrt(chance * (1 - chance) / 4000)
    assert np.abs(z).max() < 4.5
    assert 0.9 < z.std() < 1.1
    assert again.dtype.itemsize == 1


def test_unavailable_alternatives_are_never_replicated(choices):
    can = np.random.default_rng(4).random((choices.num_situations, 3)) < 0.6
    can[np.arange(len(can)), choices.chosen] = True
    data = choice.ChoiceData(choices.attributes, choices.chosen, choices.alternatives, choices.columns, available=can)
    again = of_draws(data).predictive()["chosen"].values
    assert np.take_along_axis(np.broadcast_to(can, (2, 100, *can.shape)), again[..., None].astype(int), -1).all()
    chance = MODEL.choice_probabilities({"coefficient": TRUTH[None]}, data)
    keys = jax.random.split(KEY, 500)
    drawn = predictive._taken(jax.numpy.repeat(chance, 500, 0), keys)
    assert np.take_along_axis(np.broadcast_to(can, (500, *can.shape)), np.asarray(drawn)[..., None], -1).all()


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 7])
def test_answers_do_not_depend_on_the_batch(known, laws, size):
    for posterior, name in ((known, "chosen"), (laws, "rating")):
        whole = posterior.predictive(key=KEY, draws=10)[name]
        assert np.allclose(posterior.predictive(key=KEY, draws=10, batch_size=size)[name], whole, rtol=1e-6)
    found, whole = (known.check(key=KEY, draws=10, batch_size=n).table for n in (size, "auto"))
    assert np.allclose(found, whole)


def test_likelihoods_and_predictions_do_not_depend_on_the_batch(known):
    whole = known.log_likelihood()
    assert whole.shape == (2, 100, 240)
    assert np.allclose(known.log_likelihood(30), whole)
    assert np.allclose(known.predict(batch_size=30)["high"], known.predict()["high"])


def test_no_batch_is_larger_than_said(known, monkeypatch):
    seen = []
    whole = predictive._replicated

    def spy(model, sites, data, keys):
        seen.append({len(keys), *(len(x) for x in sites.values())})
        return whole(model, sites, data, keys)

    monkeypatch.setattr(predictive, "_replicated", spy)
    known.check(batch_size=30)
    assert seen == [{30}] * 7  # of 200 draws


def test_auto_keeps_within_the_budget(known, monkeypatch):
    sites, data = known.sites, known.data
    assert _batches.batch_size_of("auto", data, sites, 200) == 200
    cells = data.attributes.size
    for budget in (10**6, 10**7):
        monkeypatch.setattr(_batches, "BUDGET", budget)
        size = _batches.batch_size_of("auto", data, sites, 10**6)
        assert size * cells * 8 <= budget
        assert size * cells * 8 > budget / 10
    monkeypatch.setattr(_batches, "BUDGET", 10)
    assert _batches.batch_size_of("auto", data, sites, 200) == 1
    for bad in (0, -3):
        with pytest.raises(ValueError, match="`batch_size` must be 'auto' or a positive number"):
            known.predictive(batch_size=bad)


def test_a_model_that_made_the_data_passes_its_check(known):
    found = known.check(key=KEY, groups={"half": np.arange(known.data.num_situations) % 2})
    assert found.problems == ()
    assert "share of bus | half 1" in found.table.index
    assert "agreement within people" in found.table.index
    assert found.table.loc["share of bus", "observed"] == pytest.approx(known.data.shares["bus"])


def test_a_wrong_share_and_people_who_differ_are_found(choices):
    wrong = of_draws(choices, centre=TRUTH + [0, 0, 1.5, 0])
    assert any(p.startswith("`share of bus` is") and "constant" in p for p in wrong.check(key=KEY).problems)
    differ = simulated(people=80, spread=1.5, seed=5)
    problems = of_draws(differ).check(key=KEY).problems
    assert any(p.startswith("`agreement within people` is") and "MixedLogit" in p for p in problems)


def test_agreement_counts_pairs():
    person, y = np.array([0, 0, 0, 1, 1, 2]), np.array([[0, 0, 1, 2, 2, 0], [0, 1, 2, 0, 1, 0]])
    assert agreement(person, 3)(y).tolist() == [(1 / 3 + 1) / 2, 0.0]


def test_ratings_are_checked_too(laws):
    found = laws.check(key=KEY)
    assert "sd of agents' means" in found.table.index
    assert found.problems == ()


def test_statistics_of_ones_own(known):
    found = known.check({"first": lambda y: (y[..., 0] == 0).astype(float)}, key=KEY)
    assert found.table.loc["first", "predicted"] == pytest.approx(0.5, abs=0.5)
    with pytest.raises(ValueError, match=r"`statistics\['all'\]` must give one number for each"):
        known.check({"all": np.mean})
    with pytest.raises(ValueError, match=r"`groups\['sex'\]` must have a label for each of the 240"):
        known.check(groups={"sex": [1, 2]})


def test_inference_data_holds_predictive_and_prior_groups(known, choices):
    found = known.inference_data(predictive=True, prior=fh.prior(MODEL, choices, draws=20))
    assert {"posterior_predictive", "prior", "prior_predictive"} <= set(found.groups())


@pytest.mark.parametrize("module", ["prior"])
def test_examples_run(module):
    found = doctest.testmod(importlib.import_module(f"fairhand.inference.{module}"), extraglobs={"np": np})
    assert found.failed == 0
    assert found.attempted > 0


@pytest.mark.slow
@pytest.mark.parametrize("module", ["predictive", "check", "counterfactual", "tastes", "compare"])
def test_examples_with_a_fit_run(module):
    test_examples_run(module)


MEMORY = """
import sys, threading, time
from pathlib import Path
import numpy as np
from fairhand.models import choice
from known_draws import of_draws

rng = np.random.default_rng(0)
x = rng.normal(size=(5000, 5, 2))
data = choice.ChoiceData(x, rng.integers(0, 5, 5000), tuple("abcde"), ("y", "z"))
model = choice.ConditionalLogit(("y", "z"), constants=False)
posterior = of_draws(data, centre=[1.0, 1.0], draws=300, model=model)
posterior.predictive(draws=2)
pages = lambda: int(Path("/proc/self/statm").read_text().split()[1])
before, seen, done = pages(), [], threading.Event()

def watch():
    while not done.is_set():
        seen.append(pages())
        time.sleep(0.001)

watcher = threading.Thread(target=watch)
watcher.start()
posterior.predictive(batch_size=int(sys.argv[1]))
done.set()
watcher.join()
print(max(seen) - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell a process's memory so")
def test_memory_follows_the_batch_and_not_the_draws():
    def pages(size):
        run = [sys.executable, "-c", MEMORY, str(size)]
        folder = {"PYTHONPATH": str(Path(__file__).parents[1])}
        return int(subprocess.run(run, env=os.environ | folder, capture_output=True, text=True, check=True).stdout)

    few, many = pages(20), pages(600)
    assert 0 < few < 0.4 * many, (few, many)
