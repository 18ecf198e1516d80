"""What choices cannot tell is refused or said, by name: one-sided trials, fixed pies, choices without error."""

import re

import numpy as np
import pytest

from fairhand.inference import fit
from fairhand.models.social import (
    BruhinFehrSchunk,
    FehrSchmidt,
    HierarchicalFehrSchmidt,
    PreferenceTypes,
    SocialChoiceData,
    identify,
    identify_people,
)
from fairhand.models.social.identification import without_error

FS, BFS = FehrSchmidt(), BruhinFehrSchunk()


def made(payoffs, seed=0, **fields):
    chosen = np.random.default_rng(seed).integers(0, 2, len(payoffs))
    return SocialChoiceData.from_payoffs(payoffs, chosen, **fields)


def sided(n, side, seed=0):
    """Two players; with `side` 1 the one who chooses is ahead in both options, with -1 behind."""
    rng = np.random.default_rng(seed)
    low, gap = rng.uniform(1, 5, (n, 2)), rng.uniform(0.5, 5, (n, 2))
    mine, other = (low + gap, low) if side > 0 else (low, low + gap)
    return np.stack([mine, other], -1)


def test_trials_on_one_side_alone_are_refused_by_name():
    with pytest.raises(ValueError, match="BEHIND .* so `alpha` cannot be told"):
        fit(FS, made(sided(30, 1)), method="map", progress=False)
    with pytest.raises(ValueError, match="AHEAD .* so `beta` cannot be told"):
        identify(FS, made(sided(30, -1)))
    both = made(np.concatenate([sided(30, 1), sided(30, -1)]))
    assert "points of own payoff" in identify(FS, both)[0]
    with pytest.raises(ValueError, match=r"kind act .* use `BruhinFehrSchunk\(reciprocity=False\)`"):
        identify(BFS, both)
    with pytest.raises(ValueError, match="`delta` cannot be told"):
        identify(BFS, both.changed(kind=np.arange(60) % 2))
    assert identify(BruhinFehrSchunk(reciprocity=False), both)


def test_a_fixed_pie_confounds_aversion_and_precision():
    """Own share s and the gap 1 − 2s are one column below half."""
    s = np.random.default_rng(1).uniform(0.05, 0.45, (40, 2))
    behind = np.stack([s, 1 - s], -1)
    ahead = np.stack([1 - s, s], -1)
    with pytest.raises(ValueError, match="own payoff, `alpha`, `beta` are collinear"):
        identify(FS, made(np.concatenate([behind, ahead])))
    one_side_free = np.concatenate([behind, sided(30, 1)])
    identify(FS, made(one_side_free))  # the other side tells the precision


def test_an_act_before_every_choice_is_refused():
    """With γ and δ both raised and α raised and β lowered by as much, nothing changes."""
    data = made(
        np.concatenate([sided(15, 1, 1), sided(15, -1, 2)]), kind=np.arange(30) % 2, unkind=1 - np.arange(30) % 2
    )
    with pytest.raises(ValueError, match="`alpha`, `beta`, `gamma`, `delta` are collinear .* the other did nothing"):
        identify(BFS, data)


def test_own_payoff_that_never_differs_is_refused():
    payoffs = np.random.default_rng(2).uniform(0, 10, (20, 2, 2))
    payoffs[:, 1, 0] = payoffs[:, 0, 0]
    with pytest.raises(ValueError, match="own payoff is the same in both options everywhere"):
        identify(FS, made(payoffs))


def test_people_with_one_sided_trials_are_named():
    payoffs = np.concatenate([sided(20, 1, 1), sided(20, -1, 2), sided(20, 1, 3)])
    data = made(payoffs, person=np.repeat([0, 0, 1], 20), people=["ann", "bob"])
    notes = identify_people(FS, data, True)
    said = [n for n in notes if n.startswith("1 of 2 people (bob)")]
    assert any("their own `alpha` is what the others' choices and the priors say" in n for n in said)
    assert not any("`beta` is what" in n for n in notes)
    assert any("alpha" in n for n in HierarchicalFehrSchmidt().identify(data))


def test_nobody_with_both_sides_tells_no_correlation():
    payoffs = np.concatenate([sided(20, 1, 1), sided(20, -1, 2)])
    data = made(payoffs, person=np.repeat([0, 1], 20))
    correlated = " ".join(identify_people(FS, data, True))
    assert "correlations over people are what their prior says" in correlated
    assert "correlations" not in " ".join(identify_people(FS, data, False))


def test_choices_without_error_are_found_as_by_a_grid():
    """The linear programme against a grid of weights, on random small panels."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*[np.linspace(-50, 50, 401)] * 2), -1).reshape(-1, 2)
    seen = set()
    for _ in range(40):
        size = rng.integers(2, 7)
        own, feature = rng.normal(size=size), rng.normal(size=(2, size))
        worth = own + grid @ feature
        possible = bool(((worth >= 0).all(1)).any())
        found = without_error(own, feature)
        assert found or not possible  # the grid may miss a sliver, the programme may not
        seen.add(found)
    assert seen == {True, False}
    assert not without_error(np.array([1.0, -1.0]), np.zeros((2, 2)))


def test_deterministic_and_bounded_people_are_named():
    payoffs = np.concatenate([sided(15, 1, 1), sided(15, -1, 2)] * 2)
    greedy = (payoffs[..., 0].argmax(1))[:30]
    rest = np.random.default_rng(5).integers(0, 2, 30)
    data = SocialChoiceData.from_payoffs(
        payoffs, np.concatenate([greedy, rest]), person=np.repeat([0, 1], 30), people=["ann", "bob"]
    )
    notes = identify_people(FS, data, True)
    assert any(n.startswith("1 of 2 people (ann): weights exist that explain every choice") for n in notes)
    assert any("ann" in n and "bound `alpha` on one side only" in n for n in notes)
    assert "explains every choice" in " ".join(identify(FS, data.where(data.person == 0)))
    assert "explains every choice" not in " ".join(identify(FS, data))


def test_reciprocity_that_is_left_out_is_said():
    payoffs = np.concatenate([sided(15, 1, 1), sided(15, -1, 2)])
    data = made(payoffs, kind=np.arange(30) % 2)
    assert "15 of 30 choices follow a kind or unkind act" in " ".join(identify(FS, data))
    assert "follow" not in " ".join(identify(FS, data.where(data.plain)))


def test_people_who_choose_once_are_refused():
    payoffs = np.concatenate([sided(15, 1, 1), sided(15, -1, 2)])
    for model in (HierarchicalFehrSchmidt(), PreferenceTypes(BruhinFehrSchunk(reciprocity=False))):
        with pytest.raises(ValueError, match="nobody chooses twice"):
            model.identify(made(payoffs))


def test_panels_that_are_far_from_equal_are_refused():
    payoffs = np.zeros((1, 2, 2))
    many = SocialChoiceData.from_payoffs(
        np.broadcast_to(payoffs, (60_000, 2, 2)),
        np.zeros(60_000, int),
        person=np.maximum(np.arange(60_000) - 40_000, 0),
    )
    with pytest.raises(ValueError, match=re.escape("one person has 40001 choices")):
        HierarchicalFehrSchmidt().arguments(many)
