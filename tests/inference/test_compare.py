"""Leave-one-out against exact answers, and models of the same data side by side."""

import numpy as np
import pytest
from known_draws import MODEL, TRUTH, of_draws, of_laws, simulated

import fairhand as fh
from fairhand.models import choice

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(scope="module")
def choices():
    return simulated(people=50, each=4)


@pytest.fixture(scope="module")
def known(choices):
    return of_draws(choices, draws=300)


def smoothed_by_hand(log_likelihood):
    """Truncated importance sampling: another estimate of the same thing."""
    flat = log_likelihood.reshape(-1, log_likelihood.shape[-1])
    ratio = np.exp(-flat + flat.min(0))
    ratio = np.minimum(ratio, ratio.mean(0) * np.sqrt(len(flat)))
    return np.log((np.exp(flat) * ratio).sum(0) / ratio.sum(0))


def test_scores_are_close_to_importance_sampling_by_hand(known, choices):
    found = known.loo()
    each = known.log_likelihood()
    assert np.allclose(found.table["elpd"], smoothed_by_hand(each), atol=2e-3)
    assert found.elpd == pytest.approx(found.table["elpd"].sum())
    assert found.se == pytest.approx(np.sqrt(200) * found.table["elpd"].std(ddof=0), rel=1e-3)
    assert len(found.table) == choices.num_situations
    assert found.problems == ()


def test_people_are_left_out_whole(known):
    found = known.loo("person")
    each = known.log_likelihood().reshape(2, 300, 50, 4).sum(-1)
    assert np.allclose(found.table["elpd"], smoothed_by_hand(each), atol=1e-2)
    assert list(found.table.index[:2]) == ["p0", "p1"]


def test_an_observation_that_weights_cannot_leave_out_is_named(choices):
    wild = of_draws(choices, sd=2.5)
    found = wild.loo()
    worst = found.table["k_hat"].idxmax()
    assert f"`{worst}`" in found.problems[0]
    assert "k-hat is above" in str(found)


def test_the_model_that_made_the_data_wins(known, choices):
    blind = of_draws(choices, centre=TRUTH[[0, 2, 3]], model=choice.ConditionalLogit("time"), draws=300)
    table = fh.compare({"blind": blind, "full": known})
    assert list(table.index) == ["full", "blind"]
    difference = known.loo().table["elpd"].to_numpy() - blind.loo().table["elpd"].to_numpy()
    assert abs(table.loc["blind", "elpd_diff"]) == pytest.approx(difference.sum())
    assert table.loc["blind", "dse"] == pytest.approx(np.sqrt(200) * difference.std(), rel=1e-3)
    assert table["bad_k"].tolist() == [0, 0]


def test_different_data_are_refused_by_name(known):
    other = of_draws(simulated(people=50, each=4, seed=7))
    with pytest.raises(ValueError, match="`one` and `two` were fitted to different data"):
        fh.compare({"one": known, "two": other})
    with pytest.raises(ValueError, match="`one` and `two` explain different things .200 by observation, 50 by person"):
        fh.compare({"one": known.loo(), "two": known.loo("person")})
    with pytest.raises(ValueError, match=r"`posteriors` must be at least two, by name, such as .*; got \['one'\]"):
        fh.compare({"one": known})


def test_a_prior_and_unequal_weights_are_called_by_name(choices):
    with pytest.raises(ValueError, match="this is a prior"):
        fh.prior(MODEL, choices, draws=20).loo()
    weighted = of_draws(choices.changed(weight=np.linspace(0.5, 1.5, 200)))
    assert "weights are unequal" in str(weighted.loo())
    with pytest.raises(ValueError, match="`by` must be"):
        weighted.loo("household")


def test_ratings_are_named_by_agent_and_item():
    found = of_laws().loo()
    assert found.table.index[0] == "ann:0"
    assert of_laws().loo("person").table.index.tolist() == ["ann", "bob", "cy"]
