"""One path from any objective and any benchmark to loss, gain, trade-off and prices."""

import numpy as np
import pytest

from fairhand.mechanisms.participatory import atoms, compare
from fairhand.mechanisms.participatory.objectives.compare_objectives import compare_objectives


@pytest.mark.parametrize("name", ["fehr_schmidt", "worst_off", "envy", "average", "externality"])
def test_one_path_compares_every_objective(name):
    rng = np.random.default_rng(9)
    values = rng.random((4, 3))
    wanted = {
        "fehr_schmidt": atoms.own() - 0.3 * atoms.disadvantage() - 0.2 * atoms.advantage(),
        "worst_off": atoms.own() + 2.0 * atoms.worst_off(),
        "envy": atoms.own() - 0.8 * atoms.envy(),
        "average": atoms.own() + 0.8 * atoms.average(),
        "externality": atoms.own() + 0.5 * atoms.externality(rng.normal(size=(4, 4))),
    }[name]
    told = compare_objectives(wanted, values, faces=True)
    worth = lambda objective, solution: float(objective.value(solution.shares, values).sum())
    best, kept = values.max(0).sum(), float(told.participatory.utilities.sum())
    assert told.loss == pytest.approx(best - kept, abs=1e-9)
    assert float(told.loss) >= -1e-9
    assert float(told.gain) >= -1e-9
    assert told.gain == pytest.approx(worth(wanted, told.participatory) - worth(wanted, told.standard), abs=1e-9)
    assert told.price_of_fairness == pytest.approx(told.loss / best)
    assert told.price_of_fairness_ratio == pytest.approx(best / kept)
    low, high = np.asarray(told.loss_range)
    assert low - 1e-9 <= float(told.loss) <= high + 1e-9
    if name in ("fehr_schmidt", "envy", "worst_off", "externality"):
        assert float(told.gain) > 1e-3  # the comparison is not of one allocation with itself


@pytest.mark.parametrize("seed", range(4))
def test_comparison_of_fehr_and_schmidt_is_compare(seed):
    rng = np.random.default_rng(seed)
    values = np.round(rng.random((4, 3)), seed % 2)  # coarse values have many optima
    alpha, beta = rng.uniform(-0.05, 0.4, 4), rng.uniform(0.1, 0.4, 4)
    told = compare_objectives(atoms.own() - alpha * atoms.disadvantage() - beta * atoms.advantage(), values)
    other = compare(values, alpha, beta)
    assert told.loss == pytest.approx(float(other.loss), abs=1e-6)
    assert told.gain == pytest.approx(float(other.gain), abs=1e-6)


def test_ranges_and_the_choice_among_many_optima():
    # Two identical people and one item: any split is best by the standard, and people like the even one.
    told = compare_objectives(atoms.own() - 0.2 * atoms.disadvantage() - 0.2 * atoms.advantage(), [[1.0], [1.0]])
    np.testing.assert_allclose(told.standard.utilities, [0.5, 0.5], atol=1e-9)
    assert told.gain == pytest.approx(0, abs=1e-9)
    # Maximin alone leaves open who gets what is over: so that more or less is lost.
    values = np.array([[1.5, 0.9, 2.0], [1.0, 0.0, 0.0]])
    told = compare_objectives(atoms.worst_off(), values, faces=True, disposal="free")
    np.testing.assert_allclose(told.loss_range, [0.5, 2.4], atol=1e-8)
    # By another benchmark: maximin is the designer's, and people want the sum.
    told = compare_objectives(atoms.own(), values, benchmark=atoms.worst_off())
    assert told.loss == pytest.approx(2.0, abs=1e-9)
    assert told.gain == pytest.approx(0.5, abs=1e-9)
    assert np.isinf(told.tradeoff)
    assert np.isnan(compare_objectives(atoms.own(), values, benchmark=atoms.own() - 3.0 * atoms.average()).tradeoff)
    with pytest.raises(ValueError, match="`faces`"):
        compare_objectives(atoms.own(), values, benchmark=atoms.worst_off(), faces=True)
    with pytest.raises(ValueError, match="`benchmark` cannot be certified"):
        compare_objectives(atoms.own(), values, benchmark=atoms.envy())
