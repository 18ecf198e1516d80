"""Deciding once under doubt: the mean decides, regret is not negative, tails and questions are worth what they should be."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from fairhand.mechanisms.participatory import compare, decide, solve, welfare
from fairhand.mechanisms.participatory.decisions.elicitation import answer_information, ask_next, value_of_asking
from fairhand.mechanisms.participatory.decisions.tail_risk import decide_cvar, tail_welfare

DRAW = np.random.default_rng(4)
VALUES = DRAW.random((4, 3))
ALPHA, BETA = DRAW.normal(0.3, 0.1, (30, 4)), DRAW.normal(0.2, 0.08, (30, 4))


def test_the_mean_decides_and_not_the_median():
    alpha = np.array([[0.0, 0.0]] * 3 + [[0.9, 0.9]] * 2)
    found = decide([[1.0], [0.8]], alpha, 0.0)
    assert found.committed.shares.ravel() == pytest.approx([4 / 9, 5 / 9], abs=1e-9)  # the median would not share
    worth = lambda x: np.mean([float(welfare([x, 0.8 * (1 - x)], a, 0.0)) for a in alpha])
    best = minimize_scalar(lambda x: -worth(x), bounds=(0, 1), method="bounded", options={"xatol": 1e-10})
    assert found.expected_welfare == pytest.approx(-best.fun, abs=1e-7)


def test_everything_by_hand_over_draws():
    found = decide(VALUES, ALPHA, BETA)
    committed = solve(VALUES, ALPHA.mean(0), BETA.mean(0))
    assert found.committed.primal == pytest.approx(float(committed.primal), rel=1e-9)
    assert found.expected_welfare == pytest.approx(float(committed.primal), rel=1e-9)  # welfare is linear in theta
    each = [float(solve(VALUES, a, b).primal) for a, b in zip(ALPHA, BETA, strict=True)]
    assert found.value_of_information == pytest.approx(np.mean(each) - float(committed.primal), abs=1e-9)
    assert found.value_of_information > 0
    assert (found.regret >= 0).all()
    assert found.regret.mean() == pytest.approx(found.value_of_information)
    sides = [compare(VALUES, a, b) for a, b in zip(ALPHA[:5], BETA[:5], strict=True)]
    np.testing.assert_allclose(found.loss[:5], [s.loss for s in sides], atol=1e-9)
    np.testing.assert_allclose(found.gain[:5], [s.gain for s in sides], atol=1e-9)
    assert found.concave.all()
    assert found.used == 30
    assert found.status == ""


def test_draws_that_are_not_concave_are_flagged_and_left_out():
    alpha = ALPHA.copy()
    alpha[3, :2] = -1.0
    found = decide(VALUES, alpha, BETA)
    assert (~found.concave).nonzero()[0].tolist() == [3]
    assert np.isnan([found.regret[3], found.loss[3], found.gain[3]]).all()
    assert np.isnan(found.regret).sum() == 1
    rest = np.arange(30) != 3
    here = welfare(np.tile(found.committed.utilities, (29, 1)), alpha[rest], BETA[rest])
    assert found.expected_welfare == pytest.approx(np.mean(here))
    assert found.value_of_information == pytest.approx(np.nanmean(found.regret))
    assert found.used == 29
    assert "29" in found.status
    np.testing.assert_allclose(found.committed.primal, float(solve(VALUES, alpha.mean(0), BETA.mean(0)).primal))


@pytest.mark.parametrize(
    ("values", "alpha", "message"),
    [
        (VALUES, ALPHA[0], "draws"),
        (VALUES[None], ALPHA, "one society"),
        (VALUES, ALPHA[:, :3], "`alpha`"),
        (VALUES, -np.ones((5, 4)), "every draw"),
    ],
)
def test_bad_draws_are_refused(values, alpha, message):
    with pytest.raises(ValueError, match=message):
        decide(values, alpha, 0.1)


def test_one_draw_leaves_nothing_to_learn():
    found = decide(VALUES, ALPHA[:1], BETA[:1])
    assert found.value_of_information == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("level", [0.1, 0.35, 1.0])
def test_the_tail_is_best_where_the_program_says(level):
    found = decide_cvar(VALUES, ALPHA, BETA, level=level)
    assert found.tail == pytest.approx(found.bound, abs=1e-7)
    mean = decide(VALUES, ALPHA, BETA)
    assert found.expected_welfare <= mean.expected_welfare + 1e-7
    assert found.tail >= tail_welfare(mean.committed.utilities, ALPHA, BETA, level=level) - 1e-7
    assert found.tail == pytest.approx(tail_welfare((VALUES * found.shares).sum(1), ALPHA, BETA, level=level))
    for a, b in zip(ALPHA[:6], BETA[:6], strict=True):  # what is best for one draw is no better in the tail
        assert tail_welfare(solve(VALUES, a, b).utilities, ALPHA, BETA, level=level) <= found.bound + 1e-7
    if level == 1.0:
        assert found.tail == pytest.approx(mean.expected_welfare, abs=1e-7)


def test_the_tail_is_the_mean_of_the_worst_draws():
    each = welfare(np.tile([0.2, 1.0, 0.4, 0.9], (30, 1)), ALPHA, BETA)
    worst = np.sort(each)
    assert tail_welfare([0.2, 1.0, 0.4, 0.9], ALPHA, BETA, level=0.1) == pytest.approx(worst[:3].mean())
    part = (worst[:3].sum() + 0.5 * worst[3]) / 3.5
    assert tail_welfare([0.2, 1.0, 0.4, 0.9], ALPHA, BETA, level=3.5 / 30) == pytest.approx(part)
    with pytest.raises(ValueError, match="`level`"):
        tail_welfare([0.2, 1.0, 0.4, 0.9], ALPHA, BETA, level=0.0)


def test_asking_is_worth_more_the_more_is_asked_and_never_more_than_certainty():
    one, ten, many = (value_of_asking(VALUES, ALPHA, BETA, questions=k) for k in (1, 10, 100000))
    assert (one.value <= ten.value + 1e-9).all()
    assert (ten.value <= many.value + 1e-9).all()
    np.testing.assert_allclose(many.value, one.perfect, rtol=0.02, atol=1e-6)
    assert (one.information < ten.information).all()
    whole = decide(VALUES, ALPHA, BETA).value_of_information
    assert (one.perfect <= whole + 1e-9).all()
    assert one.perfect.max() > 0


def test_who_is_known_already_is_not_asked():
    alpha = ALPHA.copy()
    alpha[:, 0], beta = 0.3, BETA.copy()
    beta[:, 0] = 0.2
    found = value_of_asking(VALUES, alpha, beta)
    assert found.perfect[0] < 1e-9
    assert found.information[0] < 1e-9
    asked = ask_next(VALUES, alpha, beta, 3)
    assert asked[0] == 0
    assert asked.sum() == 3


def test_information_of_an_answer_is_that_of_a_logit():
    gaps, theta = np.array([0.3, 0.5, -0.2]), np.array([0.4, 0.1])
    chance = lambda t: 1 / (1 + np.exp(-2.0 * (gaps[0] - gaps[1:] @ t)))
    step = 1e-5
    slope = np.array([(chance(theta + step * e) - chance(theta - step * e)) / (2 * step) for e in np.eye(2)])
    p = chance(theta)
    np.testing.assert_allclose(
        answer_information(gaps, theta, precision=2.0), np.outer(slope, slope) / (p * (1 - p)), rtol=1e-6
    )
