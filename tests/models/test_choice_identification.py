"""What data cannot tell, named by coefficient before anything is sampled."""

import importlib.resources
import re

import numpy as np
import pytest

from fairhand.models import choice
from fairhand.models.choice import ChoiceData, ConditionalLogit
from fairhand.models.choice._separation import separating_direction

PATH = importlib.resources.files("fairhand") / "workflow/data/modechoice.csv"
DATA = ChoiceData.from_long(
    PATH,
    situation="individual",
    alternative="mode",
    choice="choice",
    attributes=["gc", "ttme", "invc", "invt", "hinc"],
)


def add(**columns: np.ndarray) -> ChoiceData:
    """The data with more columns."""
    values = np.concatenate([DATA.attributes, *(c[..., None] for c in columns.values())], -1)
    return ChoiceData(values, DATA.chosen, DATA.alternatives, (*DATA.columns, *columns), source="trips")


def test_the_printed_model_is_identified():
    found = choice.require(ConditionalLogit(("gc", "ttme"), {"hinc": "air"}, base="car"), DATA)
    assert found.ok
    assert (found.rank, found.flat, found.separating, found.notes) == (6, (), None, ())
    assert 1 < found.condition < 100


def test_collinear_columns_are_named_and_only_they():
    data = add(total=2 * DATA.column("invc") - 0.1 * DATA.column("invt"))
    found = choice.check(ConditionalLogit(("gc", "invc", "invt", "total", "ttme")), data)
    assert found.flat == (("invc", "invt", "total"),)
    assert found.rank == 7
    assert found.condition == np.inf
    assert "Columns `invc`, `invt`, `total` are collinear" in found.problems[0]
    assert len(found.problems) == 1


def test_collinearity_with_constants_is_found():
    found = choice.check(ConditionalLogit("gc", {"hinc": ("air", "train", "bus", "car")}), DATA)
    assert found.flat == (("hinc:air", "hinc:train", "hinc:bus", "hinc:car"),)
    train = np.broadcast_to(np.arange(4) == 1, (210, 4)).astype(float)
    found = choice.check(ConditionalLogit(("gc", "rail")), add(rail=train))
    assert found.flat == (("rail", "constant:train"),)


def test_columns_that_do_not_vary_are_named():
    found = choice.check(ConditionalLogit(("gc", "hinc")), DATA)
    assert found.flat == (("hinc",),)
    assert found.problems[0].startswith("Column `hinc` does not vary across the alternatives")
    with pytest.raises(ValueError, match="modechoice.csv does not identify the model: Column `hinc` does not vary"):
        choice.require(ConditionalLogit(("gc", "hinc")), DATA)


def test_complete_separation_names_the_column():
    taken = (np.arange(4) == DATA.chosen[:, None]).astype(float)
    told = taken + np.random.default_rng(0).uniform(0, 0.5, taken.shape)
    found = choice.check(ConditionalLogit(("gc", "ttme", "told")), add(told=told))
    assert found.separating is not None
    assert list(found.separating) == ["told"]
    assert found.separating["told"] > 0
    assert re.search(r"separated along `told` \(\+", found.problems[0])


def test_an_alternative_that_nobody_takes_separates_also_without_constants():
    bus = np.broadcast_to(np.arange(4) == 2, (210, 4)).astype(float)
    data = add(bus=bus).changed(chosen=np.where(DATA.chosen == 2, 3, DATA.chosen))
    found = choice.check(ConditionalLogit(("gc", "bus"), constants=False), data)
    assert found.separating is not None
    assert list(found.separating) == ["bus"]
    assert found.separating["bus"] < 0


def test_quasi_complete_separation_names_the_columns_at_fault():
    # Whoever has no luggage may do anything; with luggage nobody flies, so the interaction falls for ever.
    luggage = np.broadcast_to((np.arange(210) % 3 == 0)[:, None], (210, 4)).astype(float)
    chosen = np.where((luggage[:, 0] == 1) & (DATA.chosen == 0), 3, DATA.chosen)
    data = add(luggage=luggage).changed(chosen=chosen)
    model = ConditionalLogit(("gc", "ttme"), {"luggage": "air"})
    found = choice.check(model, data)
    assert found.separating is not None
    assert list(found.separating) == ["luggage:air"]
    assert found.separating["luggage:air"] < 0
    assert found.rank == 6
    design = model.design(data)[..., 2]
    gain = (design[np.arange(210), chosen][:, None] - design) * found.separating["luggage:air"]
    assert gain.min() >= 0
    assert gain.max() > 0


def test_a_separating_combination_of_two_columns_is_found():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 3, 3))
    chosen = (x @ np.array([1.0, -2.0, 0.0])).argmax(1)
    found = choice.check(
        ConditionalLogit(("p", "q", "r"), constants=False), ChoiceData(x, chosen, ("a", "b", "c"), ("p", "q", "r"))
    )
    b = found.separating
    assert b is not None
    assert b["q"] / b["p"] == pytest.approx(-2, rel=0.1)
    assert abs(b.get("r", 0.0)) < 0.1 * abs(b["p"])


def test_one_contrary_choice_ends_separation():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 3, 1))
    chosen = x[..., 0].argmax(1)
    model = ConditionalLogit("p", constants=False)
    assert not choice.check(model, ChoiceData(x, chosen, ("a", "b", "c"), ("p",))).ok
    chosen[7] = x[7, :, 0].argmin()
    assert choice.check(model, ChoiceData(x, chosen, ("a", "b", "c"), ("p",))).ok


@pytest.mark.parametrize("flip", [False, True])
def test_many_rows_are_decided_by_growing_programmes(flip):
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(30_000, 4))
    b = np.array([1.0, -1.0, 0.5, 0.0])
    rows = rows * np.sign(rows @ b)[:, None]
    if flip:
        rows[12_345] *= -1
        rows[12_345] += -0.5 * b
    found = separating_direction(rows)
    assert (found is None) == flip
    if found is not None:
        assert (rows @ found).min() >= -1e-4 * (rows @ found).max()


def test_alternatives_that_nobody_chose_get_their_own_sentence():
    data = DATA.changed(chosen=np.where(DATA.chosen == 0, 3, DATA.chosen))
    found = choice.check(ConditionalLogit("gc", {"hinc": "air"}, base="car"), data)
    assert found.problems == (
        "Alternative `air` is never chosen, so the constant `constant:air` has no maximum: drop it or the constants.",
    )
    found = choice.check(ConditionalLogit("gc", base="air"), data)
    assert found.problems[0].startswith(
        "Alternative `air` is never chosen, so the constants, measured from it, have no"
    )
    assert choice.check(ConditionalLogit(("gc", "ttme"), constants=False), data).ok


def test_situations_of_weight_zero_do_not_help():
    mixed = DATA.column("gc").copy()
    mixed[100:] = DATA.column("ttme")[100:]  # differs from gc only where the weight is 0
    weight = (np.arange(210) < 100).astype(float)
    model = ConditionalLogit(("gc", "mixed"), constants=False)
    assert choice.check(model, add(mixed=mixed)).ok
    assert choice.check(model, add(mixed=mixed).changed(weight=weight)).flat == (("gc", "mixed"),)


def test_notes_tell_unequal_weights_and_near_collinearity():
    weight = np.where(np.arange(210) < 100, 3.0, 1.0)
    found = choice.check(ConditionalLogit("gc", base="car"), DATA.changed(weight=weight))
    assert found.ok
    assert "210 situations count as 166.4" in found.notes[0]
    near = DATA.column("gc") + 1e-6 * DATA.column("ttme")
    found = choice.check(ConditionalLogit(("gc", "near")), add(near=near))
    assert found.ok
    assert "nearly collinear" in found.notes[0]
    assert "nearly collinear" in str(found)


def test_choices_without_an_alternative_say_nothing():
    data = ChoiceData(np.ones((2, 2, 1)), np.array([0, 1]), ("a", "b"), ("x",), available=np.eye(2, dtype=bool))
    found = choice.check(ConditionalLogit("x", constants=False), data)
    assert (found.ok, found.rank, found.flat) == (False, 0, (("x",),))
