"""Figures and table 1: what is drawn agrees with what is solved."""

import numpy as np
import pytest

from fairhand.mechanisms.participatory.theory import pictures, table
from fairhand.mechanisms.participatory.theory.dissimilar import loss_curve
from fairhand.mechanisms.participatory.theory.gains import gain_curve


def points(axes, label):
    line = next(x for x in axes.lines if x.get_label().startswith(label))
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


@pytest.mark.parametrize("aversion", [0.1, 0.35])
def test_solved_pairs_lie_on_the_curves(aversion):
    x, loss = points(pictures.loss_figure(0.7, aversion).axes[0], "solved")
    np.testing.assert_allclose(loss, loss_curve(0.7, x, aversion), atol=1e-9)
    assert loss.max() > 0
    x, gain = points(pictures.gain_figure(0.7, aversion, (aversion,)).axes[0], "solved")
    np.testing.assert_allclose(gain, gain_curve(0.7, x, aversion, aversion), atol=1e-9)
    both = loss > 1e-9
    rho = (0.7 - x[both]) / (0.7 + x[both])
    np.testing.assert_allclose(gain[both] / loss[both], aversion / rho - 1, rtol=1e-6)  # item by item [D]


@pytest.mark.parametrize(("value", "own", "other", "cap"), [(0.8, 0.05, 0.05, 0.1), (0.5, 0.1, 0.02, 0.3)])
def test_lies_pay_but_never_outside_the_interval(value, own, other, cap):
    left, right = pictures.deviation_figure(value, own, other, cap).axes
    _, report = points(left, "best report")
    r = (1 - own - cap) / (1 + own + cap)
    told = report[~np.isnan(report)]
    assert len(told) > 5
    assert np.all((told >= r**2 * value - 5e-3) & (told <= value / r**2 + 5e-3))
    assert np.asarray(right.lines[0].get_ydata()).max() > 0.1


def test_the_majorant_is_above_and_the_steps_are_where_they_should_be():
    axes = pictures.majorant_figure(0.6, 0.3).axes[0]
    (_, low), (_, high) = points(axes, "loss"), points(axes, "majorant")
    assert np.all(high >= low - 1e-12)
    a, terms = points(pictures.dissimilar_figure(0.2, 0.05, (0.5,)).axes[0], r"$\tau")
    steps = a[1:][np.diff(terms) != 0]
    np.testing.assert_allclose(steps, [0.05, 0.05 + 0.05**0.5], atol=2e-3)


@pytest.fixture(scope="module")
def lines():
    return table.table_1(0.25, items=8, agents=6, draws=6, seed=1)


def test_table_1_only_the_printed_line_is_exceeded(lines):
    assert len(lines) == 15
    exceeded = lines.worst > 1 + 1e-9
    assert lines.kind[exceeded].tolist() == ["printed, no bound"]
    assert lines["mean"].notna().sum() >= 13
    assert not np.any(lines["mean"][lines.kind != "printed, no bound"] > 1)


def test_table_1_the_derived_bounds_are_attained_and_theorem_3_4_is_not(lines):
    worst = lines.set_index("formula").worst
    for formula in ("sum over items that can move", "A (u_1* - u_2*)", "delta / (2 - c_1)"):
        assert worst[formula] > 0.999
    assert worst["sum c_j a_top_j"] < 0.7
    assert worst["Q(x*)"] > worst["sum c_j a_top_j"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: pictures.loss_figure(1.5),
        lambda: pictures.gain_figure(0.5, 0.1, (0.2,)),
        lambda: pictures.deviation_figure(cap=0.01),
        lambda: pictures.dissimilar_figure(strength=2.0),
        lambda: table.table_1(1.0),
        lambda: table.table_1(items=1),
    ],
)
def test_bad_input_is_named(call):
    with pytest.raises(ValueError, match="`"):
        call()
