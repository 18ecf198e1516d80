"""The same model under other assumptions: equal where lists are true, apart where people leave out what they cannot get."""

import doctest
import importlib

import jax
import numpy as np
import pytest

import fairhand as fh
from fairhand.mechanisms import metrics
from fairhand.mechanisms.classic import DeferredAcceptance
from fairhand.models import Menu
from fairhand.models.rankings import PlackettLuce, RankingData, RankOrderedLogit, Stable, Truthful, Undominated

SCHOOLS = ("a", "b", "c", "d", "e", "f")
TASTE = np.array([1.0, -0.7])
PEOPLE = 1500


def simulate(strategic):
    """Deferred acceptance by one score: who is below the cutoff of a school has no chance there, and may leave it out.

    The schools that people like best fill first, so their cutoffs are the highest: what is left out is what is wanted.
    """
    rng = np.random.default_rng(0)
    quality = np.linspace(-1, 1, 6)
    x = np.stack([np.broadcast_to(quality, (PEOPLE, 6)), rng.normal(size=(PEOPLE, 6))], -1)
    u = x @ TASTE + rng.gumbel(size=(PEOPLE, 6))
    score = rng.random(PEOPLE)
    seats = np.full(6, PEOPLE // 6)
    assigned, cutoff = np.full(PEOPLE, -1), np.zeros(6)
    for i in np.argsort(-score):  # serial dictatorship in the order of scores is deferred acceptance with one priority
        best = np.argmax(np.where(seats > 0, u[i], -np.inf))
        assigned[i], seats[best] = best, seats[best] - 1
        cutoff[best] = score[i] if seats[best] == 0 else 0.0
    feasible = score[:, None] >= cutoff
    listed = feasible if strategic else np.ones_like(feasible)
    listed = listed | (np.arange(6) == assigned[:, None])
    order = np.argsort(-np.where(listed, u, -np.inf), 1)
    order = np.where(np.arange(6) < listed.sum(1)[:, None], order, -1)
    return RankingData(
        order, SCHOOLS, np.ones((PEOPLE, 6), bool), "below", attributes=x, columns=("quality", "distance"),
        assigned=assigned, feasible=feasible,
    )  # fmt: skip


MODEL = RankOrderedLogit(("quality", "distance"), reports=Truthful("deferred acceptance"))


@pytest.fixture(scope="module")
def honest():
    return fh.stress(MODEL, simulate(False), draws=400, progress=False)


@pytest.fixture(scope="module")
def omitting():
    return fh.stress(MODEL, simulate(True), draws=400, progress=False)


def far(posterior):
    """How far each coefficient is from the truth, in posterior standard deviations."""
    return np.array([(posterior.mean[n] - t) / posterior.sd[n] for n, t in zip(posterior.names, TASTE, strict=True)])


def test_true_lists_give_the_same_under_all_assumptions(honest):
    assert list(honest.posteriors) == ["Truthful", "Undominated", "Stable"]
    for posterior in honest.posteriors.values():
        assert np.abs(far(posterior)).max() < 3
    shift = honest.table()["Undominated", "shift"]
    assert np.abs(shift).max() < 0.3  # every list is complete, so the two see the same


def test_omissions_bias_truthful_and_not_the_others(omitting):
    assert far(omitting.posteriors["Truthful"])[0] < -8  # the schools in demand look unpopular
    for name in ("Undominated", "Stable"):
        assert np.abs(far(omitting.posteriors[name])).max() < 3
        assert omitting.table().loc["quality", (name, "shift")] > 8


def test_the_result_says_what_was_assumed(omitting):
    text = str(omitting)
    assert "Truthful: Assumed: lists are truthful, as the rule DeferredAcceptance promises (DSIC)." in text
    assert "Stable: Assumed: the outcome is stable" in text
    assert "The greatest shift is that of `quality` under" in text
    for name, posterior in omitting.posteriors.items():
        assert omitting.sentences[name] in str(posterior)


@pytest.mark.slow
def test_a_rule_runs_under_every_assumption(omitting):
    worlds = omitting.worlds(new=30, supply=Menu.seats(np.full(5, 6.0)), outside="f", draws=3)
    rule = DeferredAcceptance(np.random.default_rng(0).random((5, 30)))
    found = {
        name: fh.propagate(rule, world, [metrics.welfare], key=jax.random.key(0), populations=4, progress=False)
        for name, world in worlds.items()
    }
    mean = {name: float(outcome.by_draw("welfare").mean()) for name, outcome in found.items()}
    assert set(mean) == {"Truthful", "Undominated", "Stable"}
    assert abs(mean["Undominated"] - mean["Stable"]) < abs(mean["Undominated"] - mean["Truthful"])


def test_what_cannot_be_read_or_stressed_is_said():
    data = RankingData.from_orders([["a"], ["b"], ["c"]] * 5, menu=["a", "b", "c"], unranked="below")
    found = fh.stress(PlackettLuce(), data, draws=20, progress=False)
    assert list(found.posteriors) == ["Truthful"]
    assert "compares nothing" in found.refused["Undominated"]
    assert "Undominated: not fitted." in str(found)
    with pytest.raises(ValueError, match="`assumptions` names 'Truthful' again"):
        fh.stress(PlackettLuce(), data, assumptions=[Truthful.assumed("x")])
    with pytest.raises(ValueError, match="two of one kind"):
        fh.stress(PlackettLuce(), data, assumptions=[Undominated(), Undominated()])
    with pytest.raises(ValueError, match="has no `assigned`"):
        fh.stress(PlackettLuce(reports=Stable()), data)
    with pytest.raises(ValueError, match="makes no assumption on reports"):
        fh.stress(fh.models.choice.ConditionalLogit("x"), data)


@pytest.mark.slow
def test_examples_run():
    found = doctest.testmod(importlib.import_module("fairhand.inference.stress"))
    assert found.attempted > 0
    assert found.failed == 0
