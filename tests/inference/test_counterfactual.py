"""What changed attributes do: against closed forms of the logit, finite differences and counts."""

import re

import jax
import numpy as np
import pytest
from known_draws import MODEL, TRUTH, of_draws, of_laws, simulated

from fairhand.models import choice


@pytest.fixture(scope="module")
def choices():
    return simulated()


@pytest.fixture(scope="module")
def known(choices):
    return of_draws(choices)


@pytest.fixture(scope="module")
def fixed(choices):
    return of_draws(choices, sd=0.0, draws=2)


def chances(data, coefficient=TRUTH):
    worth = np.asarray(MODEL.design(data)) @ coefficient
    share = np.where(data.available, np.exp(worth), 0)
    return share / share.sum(1, keepdims=True)


def test_predictions_are_the_models_chances(known, choices):
    found = known.predict(draws=None, level=0.8)
    each = np.stack([chances(choices, b) for b in known.coefficient])
    assert np.allclose(found["mean"], each.mean(0))
    assert np.allclose(found["low"], np.quantile(each, 0.1, axis=0))
    assert np.allclose(found["high"], np.quantile(each, 0.9, axis=0))
    assert np.allclose(found["share_high"], np.quantile(each.mean(1), 0.9, axis=0))
    assert found["mean"].sel(alternative="bus").shape == (240,)


def test_a_dearer_alternative_loses_what_the_logit_says(fixed, choices):
    dearer = choices.changed(attributes=choices.attributes + np.array([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]))
    found = fixed.predict(dearer)
    assert np.allclose(found["mean"], chances(dearer))
    assert found["share"][0] < fixed.predict()["share"][0] - 0.1


def test_blocks_of_situations_make_no_difference(known, monkeypatch):
    from fairhand.inference import counterfactual

    whole = known.predict()
    monkeypatch.setattr(counterfactual, "BUDGET", 8 * 200 * 3 * 50)  # 50 of 240 situations at a time
    small = known.predict()
    assert all(np.allclose(small[name], whole[name]) for name in whole)


def test_elasticities_are_those_of_the_logit(fixed, choices):
    p, x, w = chances(choices), choices.column("cost"), choices.weight
    own = TRUTH[1] * x[:, None, :] * (np.eye(3) - p[:, None, :])  # [situation, of, with]
    found = fixed.elasticities("cost")
    assert np.allclose(found["mean"], np.einsum("s,sj,sjk->jk", w, p, own) / (w @ p)[:, None])
    equal = fixed.elasticities("cost", average="equal")
    assert np.allclose(equal["mean"], own.mean(0))
    assert np.all(np.diag(found["mean"]) < 0)


def test_elasticities_agree_with_finite_differences(fixed, choices):
    h = 1e-5
    for k in range(3):
        moved = []
        for sign in (1, -1):
            x = choices.attributes.copy()
            x[:, k, 0] *= np.exp(sign * h)
            moved.append(np.log(chances(choices.changed(attributes=x)).mean(0)))
        assert np.allclose(fixed.elasticities("time")["mean"][:, k], (moved[0] - moved[1]) / (2 * h), atol=1e-8)


def test_elasticities_leave_out_what_cannot_be_chosen(choices):
    can = np.random.default_rng(0).random((240, 3)) < 0.7
    can[np.arange(240), choices.chosen] = True
    data = choice.ChoiceData(choices.attributes, choices.chosen, choices.alternatives, choices.columns, available=can)
    fixed = of_draws(data, sd=0.0, draws=2)
    p, x = chances(data), data.column("cost")
    both = can[:, :, None] & can[:, None, :]
    own = np.where(both, TRUTH[1] * x[:, None, :] * (np.eye(3) - p[:, None, :]), 0)
    assert np.allclose(fixed.elasticities("cost", average="equal")["mean"], own.sum(0) / both.sum(0))
    assert np.allclose(fixed.elasticities("cost")["mean"], np.einsum("sj,sjk->jk", p, own) / p.sum(0)[:, None])


def test_choice_based_samples_are_corrected(choices):
    shares = {"bus": 0.1, "train": 0.3, "car": 0.6}
    model = choice.ConditionalLogit(("time", "cost"), population_shares=shares)
    fixed = of_draws(choices, sd=0.0, draws=2, model=model)
    with jax.enable_x64(True):
        right = np.asarray(model.correct(TRUTH, choices))
    assert not np.allclose(right, TRUTH)
    assert np.allclose(fixed.predict()["mean"], chances(choices, right))


def test_ratios_are_ratios_of_draws(known):
    found = known.ratio("time", "cost", level=0.8)
    draws = known.scalars["time"] / known.scalars["cost"]
    assert (found.median, found.low) == (np.median(draws), np.quantile(draws, 0.1))
    assert found.caveat == ""
    assert str(found).startswith("time/cost: 0.5")


def test_a_denominator_that_may_be_zero_is_named(choices):
    vague = of_draws(choices, centre=TRUTH * [1, 0.01, 1, 1])
    with pytest.warns(RuntimeWarning, match="`cost` may be 0 .*`numeraire`"):
        found = vague.ratio("time", "cost")
    assert "`cost` may be 0" in str(found)


def test_people_are_told_by_name():
    laws = of_laws()
    found = laws.people(level=0.8)
    own = laws.sites["concentration"][:, 1]
    bob = found.sel(person="bob", term="concentration")
    assert float(bob["mean"]) == pytest.approx(own.mean())
    assert float(bob["high"]) == pytest.approx(np.quantile(own, 0.9))
    assert found["mean"].shape == (3, 2)
    assert len(found.to_dataframe()) == 6


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda p: p.people(), "`ConditionalLogit` has no parameters by person"),
        (lambda p: p.ratio("time", "price"), "`denominator` 'price' is not in the posterior: it has `time`, `cost`"),
        (lambda p: p.elasticities("price"), "arrays has no attribute `price`"),
        (lambda p: p.predict(level=1.5), "`level` must be between 0 and 1"),
        (
            lambda p: p.predict(simulated_with(("a", "b", "c"))),
            "`data` must have the alternatives ['bus', 'train', 'car']",
        ),
        (lambda p: of_laws().predict(), "`HierarchicalLaw` is no model of choices"),
        (lambda p: of_laws().elasticities("cost"), "`HierarchicalLaw` is no model of choices"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(known, ask, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        ask(known)


def simulated_with(alternatives):
    data = simulated()
    return choice.ChoiceData(data.attributes, data.chosen, alternatives, data.columns)


def test_a_column_that_moves_nothing_is_refused(choices):
    model = choice.ConditionalLogit("time")
    fixed = of_draws(choices, centre=TRUTH[[0, 2, 3]], sd=0.0, draws=2, model=model)
    with pytest.raises(ValueError, match="`attribute` 'cost' changes no chance"):
        fixed.elasticities("cost")


def test_people_of_ones_own_are_not_exchanged_for_others(choices):
    """A model that conditions on the person cannot predict for others, nor without saying how data may change."""

    class Own(type(MODEL)):
        def choice_probabilities(self, sites, data):
            return super().choice_probabilities(sites, data)

    posterior = of_draws(choices, sd=0.0, draws=2, model=Own(("time", "cost")))
    assert np.allclose(posterior.predict()["mean"], chances(choices))
    with pytest.raises(ValueError, match="`Own` can only predict for the data as they were fitted"):
        posterior.predict(choices.changed(attributes=choices.attributes + 1))
    with pytest.raises(ValueError, match="`Own` can only predict for the data as they were fitted"):
        posterior.elasticities("cost")
