"""Choice data: reading a long table, and refusing what it cannot mean, by row and with the cure."""

import hashlib
import importlib.resources
import re

import jaxtyping
import numpy as np
import pandas as pd
import pytest

from fairhand.models.choice import ChoiceData

PATH = importlib.resources.files("fairhand") / "workflow/data/modechoice.csv"
ROLES = {"situation": "individual", "alternative": "mode", "choice": "choice", "attributes": ["gc", "ttme"]}


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.read_csv(str(PATH)).head(12)


def read(frame: pd.DataFrame, **more) -> ChoiceData:
    return ChoiceData.from_long(frame, **{**ROLES, **more})


def test_file_becomes_arrays_in_order_of_appearance():
    data = ChoiceData.from_long(PATH, **ROLES)
    assert data.attributes.shape == (210, 4, 2)
    assert data.alternatives == ("air", "train", "bus", "car")
    assert data.attributes[0].tolist() == [[70, 69], [71, 34], [70, 35], [30, 0]]
    assert np.bincount(data.chosen).tolist() == [58, 63, 30, 59]
    assert data.situations[:3].tolist() == [1, 2, 3]
    assert data.effective_size == 210
    assert (data.source, data.sha256) == ("modechoice.csv", hashlib.sha256(PATH.read_bytes()).hexdigest())


def test_the_hash_in_the_readme_is_that_of_the_file():
    readme = (importlib.resources.files("fairhand") / "workflow/data/README.md").read_text()
    assert hashlib.sha256(PATH.read_bytes()).hexdigest() in readme


def test_order_of_rows_does_not_matter(frame):
    data = read(frame)
    mixed = frame.sample(frac=1, random_state=0)
    again = read(mixed, alternatives=["air", "train", "bus", "car"])
    order = np.argsort(again.situations)
    assert (again.attributes[order] == data.attributes).all()
    assert (again.chosen[order] == data.chosen).all()


def test_panels_weights_and_availability(frame):
    frame = frame.assign(who=["a"] * 8 + ["b"] * 4, w=[1.0] * 4 + [2.0] * 4 + [0.5] * 4, can=[1] * 11 + [1])
    frame.loc[0, ["can", "gc"]] = [0, np.nan]  # what could not be chosen need not have a price
    frame = frame.drop(index=5)
    data = read(frame, person="who", weight="w", available="can", missing="unavailable")
    assert data.person.tolist() == [0, 0, 1]
    assert data.people.tolist() == ["a", "b"]
    assert data.weight.tolist() == [1.0, 2.0, 0.5]
    assert np.argwhere(~data.available).tolist() == [[0, 0], [1, 1]]
    assert data.attributes[0, 0].tolist() == [0.0, 0.0]
    assert data.effective_size == pytest.approx(3.5**2 / 5.25)


def test_integer_codes_and_booleans_are_names_and_choices(frame):
    codes = frame.assign(mode=[1.0, 2.0, 3.0, 4.0] * 3, choice=frame.choice == 1)
    assert read(codes).alternatives == ("1", "2", "3", "4")
    assert (read(codes).chosen == read(frame).chosen).all()


def test_blank_lines_do_not_shift_the_line_named(tmp_path, frame):
    path = tmp_path / "trips.csv"
    lines = frame.to_csv(index=False).splitlines()
    lines[5] = lines[5].replace(",68,", ",much,")  # situation 2, line 6, moved to line 8 by two blanks
    path.write_text("\n".join([*lines[:3], "", "", *lines[3:]]))
    with pytest.raises(ValueError, match=r"^trips.csv, line 8: column `(gc|invt)` holds 'much', which is not"):
        ChoiceData.from_long(path, **{**ROLES, "attributes": ["gc", "invt"]})


def at(row, column, value):
    def change(frame):
        frame = frame.astype({column: object})
        frame.loc[row, column] = value
        return frame

    return change


BAD = {
    "missing column": (lambda f: f.drop(columns="gc"), {}, "has no column `gc`: name one of"),
    "two columns": (lambda f: f.set_axis([*f.columns[:-1], "gc"], axis=1), {}, "two columns named"),
    "empty": (lambda f: f.head(0), {}, "is empty: give one row"),
    "duplicate": (at(1, "mode", "air"), {}, "index 1: alternative `air` appears twice in situation 1: keep one"),
    "missing alternative": (lambda f: f.drop(index=6), {}, "index 4: situation 2 has no row for alternative `bus`:"),
    "two choices": (at(4, "choice", 1), {}, "index 7: situation 2 has a second choice in column `choice`: mark one"),
    "no choice": (at(7, "choice", 0), {}, "index 4: situation 2 has no choice in column `choice`: mark one"),
    "odd choice": (at(7, "choice", "yes"), {}, "index 7: column `choice` holds 'yes': write 1 where the"),
    "forbidden": (lambda f: f.assign(can=0), {"available": "can"}, "index 3: alternative `car` is chosen, but column"),
    "odd availability": (lambda f: f.assign(can=2), {"available": "can"}, "index 0: column `can` holds '2': write 1"),
    "NaN": (at(9, "ttme", np.nan), {}, "index 9: column `ttme` holds nothing, which is not a finite number: correct"),
    "text": (at(9, "ttme", "long"), {}, "index 9: column `ttme` holds 'long', which is not a finite number: correct"),
    "infinite": (at(9, "ttme", np.inf), {}, "index 9: column `ttme` holds 'inf', which is not a finite number"),
    "negative weight": (lambda f: f.assign(w=-1), {"weight": "w"}, "index 0: `w` is negative: a weight is 0 or more"),
    "NaN weight": (lambda f: f.assign(w=np.nan), {"weight": "w"}, "index 0: column `w` holds nothing"),
    "zero weights": (lambda f: f.assign(w=0), {"weight": "w"}, "all of `weight` is 0"),
    "weight varies": (lambda f: f.assign(w=range(12)), {"weight": "w"}, "index 1: column `w` changes within a"),
    "person varies": (lambda f: f, {"person": "mode"}, "index 1: column `mode` changes within a"),
    "no situation": (at(2, "individual", None), {}, "index 2: column `individual` is empty: fill it in"),
    "no name": (at(2, "mode", None), {}, "index 2: column `mode` is empty: fill it in"),
    "unknown name": (lambda f: f, {"alternatives": ["air", "train", "bus"]}, "index 3: alternative `car` in column"),
    "single": (lambda f: f[f["mode"] == "car"].head(2), {}, "has the single alternative ['car']: a choice needs"),
    "option": (lambda f: f, {"missing": "drop"}, '`missing` must be "error" or "unavailable"'),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_are_refused_in_one_sentence(frame, case):
    change, more, message = BAD[case]
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(change(frame), **more)
    assert str(caught.value).count("\n") == 0
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "trips.csv cannot be opened (No such file or directory): check the path"),
        ("", "trips.csv is empty: give a header line"),
        ("individual,mode,choice,gc,ttme\n", "trips.csv is empty: give one row"),
        ("a,b\n1,2,3,4\n1,2\n1,2,3,4,5\n", "trips.csv cannot be read as a CSV table"),
        ("individual,mode,choice,gc,ttme\n1,a,1,2,3\n1,b,0,x,3\n", "trips.csv, line 3: column `gc` holds 'x'"),
    ],
)
def test_bad_files_are_refused_by_name_and_line(tmp_path, content, message):
    path = tmp_path / "trips.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        ChoiceData.from_long(str(path), **ROLES)


@pytest.fixture
def unchecked():
    """As a user runs it: the annotations are checked in tests only, and would speak first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"attributes": np.zeros((2, 3, 1))}, "`attributes` must be [situations, 2 alternatives, 1 columns]"),
        ({"attributes": np.full((2, 2, 1), np.nan)}, "attribute `x` of alternative `a` in situation 0 is not finite"),
        ({"chosen": np.array([0, 2])}, "`chosen` of situation [1] must be an index from 0 to 1"),
        ({"chosen": np.array([0.0, 1.0])}, "`chosen` must be whole numbers"),
        ({"available": np.array([[True, True], [True, False]])}, "chosen in situation [1] is not available"),
        ({"weight": np.array([1.0, -1.0])}, "`weight` of situation [1] is negative"),
        ({"weight": np.ones(3)}, "`weight` must have shape (2,)"),
        ({"person": np.array([0, 5]), "people": np.array(["p"])}, "`person` must be indices from 0 to 0"),
        ({"alternatives": ("a", "a")}, "alternative ['a'] is named twice"),
    ],
)
def test_bad_arrays_are_refused(fields, message, unchecked):
    good = {
        "attributes": np.zeros((2, 2, 1)),
        "chosen": np.array([0, 1]),
        "alternatives": ("a", "b"),
        "columns": ("x",),
    }
    ChoiceData(**good)
    with pytest.raises(ValueError, match=re.escape(message)):
        ChoiceData(**{**good, **fields})


def test_changed_data_say_so_and_have_another_hash():
    data = ChoiceData.from_long(PATH, **ROLES)
    twice = data.changed(chosen=(data.chosen + 1) % 4).changed(weight=np.full(210, 2.0))
    assert twice.source == "modechoice.csv (changed)"
    assert len({data.sha256, twice.sha256, data.changed().sha256}) == 3
    assert twice.column("gc") is not None
    with pytest.raises(ValueError, match="has no attribute `hinc`: name it in `attributes`"):
        data.column("hinc")
