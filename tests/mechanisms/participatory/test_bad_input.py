"""Bad input is refused by the name of the argument, before anything is solved."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairhand.mechanisms import participatory as room

A = [[1.0, 0.5], [0.4, 0.8], [0.3, 0.6]]
TWO = A[:2]

CASES = {
    "one axis": (lambda: room.solve([1.0, 2.0], 0.1, 0.1), r"`values` must be \[..., agents, items\]"),
    "no agents": (lambda: room.solve(np.zeros((0, 2)), 0.1, 0.1), "`values` must be .* at least one of each"),
    "no items": (lambda: room.solve(np.zeros((2, 0)), 0.1, 0.1), "`values` must be .* at least one of each"),
    "no problem": (lambda: room.solve(np.zeros((0, 2, 2)), 0.1, 0.1), "`values` must have at least one problem"),
    "negative value": (lambda: room.solve([[1.0, -0.5]], 0.1, 0.1), r"`values` must not be negative; entry \(0, 1\)"),
    "NaN value": (lambda: room.solve([[1.0, np.nan]], 0.1, 0.1), r"`values` must be finite; entry \(0, 1\) is nan"),
    "infinite value": (lambda: room.compare([[np.inf]], 0.1, 0.1), "`values` must be finite"),
    "ragged list": (lambda: room.solve([[1.0], [1.0, 2.0]], 0.1, 0.1), "`values` must be an array or list"),
    "text": (lambda: room.solve([["a"]], 0.1, 0.1), "`values` must be an array or list of real numbers"),
    "complex": (lambda: room.solve([[1j]], 0.1, 0.1), "`values` must be an array or list of real numbers"),
    "alpha of another length": (lambda: room.solve(A, [0.1, 0.1], 0.1), "`alpha` must be a number or have one entry"),
    "beta of another length": (lambda: room.solve(A, 0.1, [0.1] * 4), "`beta` must be a number or have one entry"),
    "leading axes": (lambda: room.solve(np.ones((2, 3, 2)), np.ones((4, 3)), 0.1), "leading axes must agree"),
    "NaN alpha": (lambda: room.solve(A, [0.1, np.nan, 0.1], 0.1), "`alpha` must be finite"),
    "infinite beta": (lambda: room.solve(A, 0.1, np.inf), "`beta` must be finite"),
    "nonconcave pairs": (
        lambda: room.solve(A, [-0.5, 0.1, -0.1], 0.05),
        r"`alpha` and `beta` .* = \(0, 1\), \(0, 2\)\.",
    ),
    "nonconcave for all": (lambda: room.compare(A, -0.5, 0.1), "nonconcave"),
    "nonconcave in a batch": (lambda: room.solve(A, [[0.1] * 3, [-0.5] * 3], 0.1), r"nonconcave in problem \(1,\)"),
    "nonconcave copies": (
        lambda: room.solve(A, [-0.5, 0.5, 0.5], 0.1, counts=[2, 1, 1]),
        r"\(i, k\) = \(0, 0\)",
    ),
    "cap 0": (lambda: room.solve(A, 0.1, 0.1, caps=0.0), r"`caps` must be in \(0, 1\]; that of item 0 is 0.0"),
    "cap above 1": (lambda: room.solve(A, 0.1, 0.1, caps=[1.0, 1.5]), r"`caps` must be in \(0, 1\]; that of item 1"),
    "NaN cap": (lambda: room.solve(A, 0.1, 0.1, caps=np.nan), "`caps` must be finite"),
    "caps of another length": (lambda: room.solve(A, 0.1, 0.1, caps=[1.0] * 3), "`caps` must be a number or have one"),
    "caps too small": (lambda: room.solve(A, 0.1, 0.1, caps=0.3), "`caps` leave no way to give all away: 3 agents"),
    "disposal": (lambda: room.solve(A, 0.1, 0.1, disposal="maybe"), "`disposal` must be 'forbidden' or 'free'"),
    "disposal of another kind": (lambda: room.solve(A, 0.1, 0.1, disposal=None), "`disposal` must be"),
    "counts 0": (
        lambda: room.solve(A, 0.1, 0.1, counts=[1, 0, 2]),
        "`counts` must be whole numbers, at least 1; entry 1",
    ),
    "fractional counts": (lambda: room.solve(A, 0.1, 0.1, counts=[1, 1.5, 2]), "`counts` must be whole numbers"),
    "counts of another length": (lambda: room.solve(A, 0.1, 0.1, counts=[1, 2]), "`counts` must have one entry a row"),
    "unknown method": (lambda: room.solve(A, 0.1, 0.1, method="magic"), "`method` must be one of auto, two_agent"),
    "unknown method to compare": (lambda: room.compare(A, 0.1, 0.1, method=3), "`method` must be one of"),
    "tol 0": (lambda: room.solve(A, 0.1, 0.1, tol=0), "`tol` must be a positive number"),
    "max_steps 0": (lambda: room.solve(A, 0.1, 0.1, max_steps=0), "`max_steps` must be a whole number"),
    "three agents for two": (lambda: room.two_agents(A, 0.1, 0.1), "`values` must have two agents here, got 3"),
    "two_agent for three": (lambda: room.solve(A, 0.1, 0.1, method="two_agent"), "`values` must have two agents"),
    "A at least 1": (lambda: room.two_agents(TWO, [0.1, 0.6], [0.4, 0.0]), "A = beta_1 .* = 1 .*method='lp'"),
    "B at least 1": (lambda: room.solve(TWO, 0.6, 0.6, method="two_agent"), "needs both below 1"),
    "two_agent with counts": (
        lambda: room.solve(TWO, 0.1, 0.1, counts=[1, 2], method="two_agent"),
        "`counts` must be 1 for method='two_agent'",
    ),
    "one_item for two": (lambda: room.solve(A, 0.1, 0.1, method="one_item"), "`values` must have one item"),
    "one_item with a cap": (
        lambda: room.solve([[1.0], [2.0]], 0.1, 0.1, caps=0.6, method="one_item"),
        "`caps` must be 1",
    ),
    "not aligned": (lambda: room.solve(A, 0.1, 0.1, method="aligned"), "`values` must be s_i w_j"),
    "faces": (lambda: room.compare(A, 0.1, 0.1, faces="yes"), "`faces` must be True or False"),
    "sigma of another length": (lambda: room.dual_value([0.0, 0.0], A), "`sigma` must have one entry an agent"),
    "NaN sigma": (lambda: room.dual_value([0.0, np.nan, 0.0], A), "`sigma` must be finite"),
    "caps of the dual": (lambda: room.dual_value([0.0] * 3, A, caps=0.2), "`caps` leave no way"),
    "no utilities": (lambda: room.inequality([]), r"`utilities` must be \[..., agents\]"),
    "NaN utilities": (lambda: room.welfare([1.0, np.nan], 0.1, 0.1), "`utilities` must be finite"),
    "alpha of welfare": (lambda: room.welfare([1.0, 2.0], [0.1] * 3, 0.1), "`alpha` must be a number or have one"),
    "shapes of is_concave": (lambda: room.is_concave([0.1, 0.2], [0.1, 0.2, 0.3]), "`alpha` is .2,., `beta` is .3,."),
    "society without axes": (lambda: room.society([1.0]), "`values` must be"),
    "society of negatives": (lambda: room.society([[-1.0]]), "`values` must not be negative"),
    "infinite alpha of a society": (lambda: room.society(A, np.inf), "`alpha` must be finite"),
    "alpha of a society": (lambda: room.society(A, [0.1]), "`alpha` must be a number or have one entry"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name):
    call, message = CASES[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_solving_inside_a_program_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match="`values` is traced by a JAX transform"):
        jax.jit(lambda a: room.solve(a, 0.1, 0.1).primal)(jnp.asarray(A))


def test_shapes_are_refused_while_tracing():
    with pytest.raises(ValueError, match="shapes must agree"):
        jax.jit(room.welfare)(jnp.ones(3), jnp.ones(2), jnp.ones(3))
    with pytest.raises(ValueError, match="`sigma` must have one entry"):
        jax.jit(room.dual_value)(jnp.ones(2), jnp.ones((3, 2)))


def test_outside_the_theory_is_solved_without_noise():
    """alpha < beta, weights above 1/2 and negative ones are estimates of real people; what is lost are bounds."""
    for alpha, beta in ((0.1, 0.4), (4.0, 0.6), (-0.1, 0.3)):
        assert room.solve(A, alpha, beta).converged


def test_worthless_items_and_agents_are_no_error():
    values = np.array([[1.0, 0.0, 0.5], [0.4, 0.0, 0.2], [0.0, 0.0, 0.0]])
    first, again = room.solve(values, 0.1, 0.05), room.solve(values, 0.1, 0.05)
    assert first.converged
    np.testing.assert_array_equal(first.shares, again.shares)
    assert first.utilities[2] == 0
    two = room.two_agents(values[:2], 0.1, 0.05)
    assert np.isfinite(two.threshold).all()
    nothing = room.solve(np.zeros((3, 2)), 0.1, 0.05)
    assert nothing.converged
    assert nothing.primal == nothing.dual == 0


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda p: p.society([[1.0], [1.0, 2.0]]), "`values`"),
        (lambda p: p.society([[1.0], [2.0]], alpha="x"), "`alpha`"),
        (lambda p: p.society([[1.0], [2.0]], beta=None), "`beta`"),
        (lambda p: p.Participatory("x"), "`strength`"),
        (lambda p: p.Participatory(report_cap="x"), "`report_cap`"),
        (lambda p: p.CappedSecondPrice("x"), "`report_cap`"),
        (lambda p: p.Utilitarian().soften(-1.0), "`temperature`"),
        (lambda p: p.families.aligned("x", 3), "`aversion`"),
        (lambda p: p.families.aligned(0.2, float("nan")), "`items`"),
        (lambda p: p.families.aligned(0.2, "x"), "`items`"),
        (lambda p: p.deviation_regret([[1.0], [0.5]], 0.1, 0.1, 0, reports=np.zeros((0, 1))), "`reports`"),
    ],
)
def test_words_gaps_and_nothing_are_refused_by_rules_and_families_too(call, named):
    with pytest.raises(ValueError, match=named):
        call(room)
