"""Long tables and matrices from files: Parquet says the same as CSV, and every fault is named by file, row and column."""

import builtins
import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fairhand.models.choice import ChoiceData
from fairhand.models.ratings import RatingData

NAN = np.nan
TRIPS = pd.DataFrame(
    {
        "trip": [1, 1, 2, 2, 3, 3],
        "mode": ["bus", "car"] * 3,
        "taken": [0, 1, 1, 0, 0, 1],
        "cost": [2.0, 5.0, 1.5, 4.0, 2.5, 3.0],
    }
)
CHOICE = {"situation": "trip", "alternative": "mode", "choice": "taken", "attributes": ["cost"]}
STARS = pd.DataFrame({"who": [1, 1, 1, 2, 2], "what": list("abcab"), "points": [3, 5, 1, 4, 4]})
RATING = {"agent": "who", "item": "what", "rating": "points"}
MATRIX = pd.DataFrame({"who": ["ann", "bob", "eve"], "tea": [3.0, NAN, 1.0], "milk": [5.0, 4.0, NAN], "7": [2, 1, 5]})


def written(frame: pd.DataFrame, path: Path, **more) -> Path:
    (frame.to_parquet if path.suffix == ".parquet" else frame.to_csv)(path, **({"index": False} | more))
    return path


FILES = ["table.csv", "table.csv.gz", "table.parquet"]


@pytest.mark.parametrize("file", FILES)
def test_choices_are_the_same_from_every_kind_of_file(tmp_path, file):
    data = ChoiceData.from_long(written(TRIPS, tmp_path / file), **CHOICE)
    same = ChoiceData.from_long(TRIPS, **CHOICE)
    np.testing.assert_array_equal(data.attributes, same.attributes)
    np.testing.assert_array_equal(data.chosen, [1, 0, 1])
    assert (data.source, data.alternatives, len(data.sha256)) == (file, ("bus", "car"), 64)


@pytest.mark.parametrize("file", FILES)
def test_ratings_are_the_same_from_every_kind_of_file(tmp_path, file):
    data = RatingData.from_long(written(STARS, tmp_path / file), **RATING, steps=range(1, 6))
    np.testing.assert_array_equal(data.ratings, [[3, 5, 1], [4, 4, NAN]])
    assert (data.source, data.agents, data.items) == (file, ("1", "2"), ("a", "b", "c"))


@pytest.mark.parametrize("file", FILES)
def test_a_matrix_is_the_same_from_every_kind_of_file(tmp_path, file):
    data = RatingData.from_wide(written(MATRIX, tmp_path / file), agent="who", steps=range(1, 6))
    np.testing.assert_array_equal(data.ratings, MATRIX[["tea", "milk", "7"]].to_numpy())
    assert (data.agents, data.items) == (("ann", "bob", "eve"), ("tea", "milk", "7"))


def test_a_matrix_and_a_long_table_say_the_same():
    long = MATRIX.melt(id_vars="who", var_name="what", value_name="points").dropna()
    data = RatingData.from_long(long, **RATING, steps=range(1, 6))
    wide = RatingData.from_wide(MATRIX, agent="who", steps=range(1, 6), items=data.items)
    order = [wide.agents.index(a) for a in data.agents]
    np.testing.assert_array_equal(data.ratings, wide.ratings[order])


def test_the_index_of_a_frame_may_name_the_agents():
    by_index = MATRIX.set_index("who")
    data = RatingData.from_wide(by_index, items=["milk", "7"], steps=range(1, 6))
    assert (data.agents, data.items) == (("ann", "bob", "eve"), ("milk", "7"))


def test_an_index_in_a_parquet_file_is_a_column(tmp_path):
    path = written(STARS.set_index(["who", "what"]), tmp_path / "t.parquet", index=True)
    assert RatingData.from_long(path, **RATING, steps=range(1, 6)).num_ratings == 5


def test_integer_codes_of_agents_stay_integers(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("who,a,b\n1.0,0.5,0.1\n2.0,0.2,0.9\n3.0,,0.3\n")
    assert RatingData.from_wide(path, agent="who").agents == ("1", "2", "3")


def test_types_only_parquet_has_are_read(tmp_path):
    frame = STARS.assign(what=STARS.what.astype("category"), points=STARS.points.astype("Int64"))
    path = written(frame, tmp_path / "t.parquet")
    np.testing.assert_array_equal(
        RatingData.from_long(path, **RATING, steps=range(1, 6)).ratings, [[3, 5, 1], [4, 4, NAN]]
    )


def changed(frame, row, column, value):
    frame = frame.astype({column: object})
    frame.loc[row, column] = value
    return frame


FAULTS = {
    "points are no number": (
        changed(STARS, 3, "points", "much").astype({"points": str}),
        r"{place}: column `points` holds 'much', which is not a finite number",
        3,
    ),
    "points are missing": (changed(STARS, 1, "points", None), r"{place}: column `points` holds nothing", 1),
    "no item": (changed(STARS, 4, "what", None), r"{place}: column `what` is empty", 4),
    "twice": (changed(STARS, 4, "what", "a"), r"{place}: agent `2` rates item `a` a second time", 4),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("file", FILES)
def test_faults_are_named_by_file_row_and_column(tmp_path, file, fault):
    frame, message, row = fault
    place = f"table.parquet, row {row + 1}" if file.endswith("parquet") else f"{file}, line {row + 2}"
    with pytest.raises(ValueError, match="^" + re.escape(message.format(place=place))):
        RatingData.from_long(written(frame, tmp_path / file), **RATING, steps=range(1, 6))


def test_a_choice_in_parquet_is_named_by_its_row(tmp_path):
    path = written(TRIPS.assign(taken=[0, 1, 1, 1, 0, 1]), tmp_path / "trips.parquet")
    with pytest.raises(ValueError, match=r"^trips.parquet, row 4: situation 2 has a second choice in column `taken`"):
        ChoiceData.from_long(path, **CHOICE)


def test_dates_and_lists_are_no_numbers(tmp_path):
    dates = written(STARS.assign(points=pd.Timestamp("2026-01-01")), tmp_path / "dates.parquet")
    with pytest.raises(ValueError, match=r"^dates.parquet, row 1: column `points` holds '2026-01-01"):
        RatingData.from_long(dates, **RATING)
    lists = written(STARS.assign(points=[[1], [2], [3], [4], [5]]), tmp_path / "lists.parquet")
    with pytest.raises(ValueError, match=r"^lists.parquet, row 1: column `points` holds lists or structures"):
        RatingData.from_long(lists, **RATING)


def test_without_the_library_for_parquet_the_cure_is_named(tmp_path, monkeypatch):
    path = written(STARS, tmp_path / "t.parquet")
    found = builtins.__import__

    def without(name, *args, **more):
        if name.split(".")[0] == "pyarrow":
            raise ImportError(name)
        return found(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"^t.parquet is a Parquet file.*`pip install fairhand\[parquet\]`"):
        RatingData.from_long(path, **RATING)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"who,what\n", "a.parquet cannot be read as Parquet ("),
        ("a.csv.gz", b"who,what\n", "a.csv.gz cannot be opened (Not a gzipped file"),
        (
            "a.csv.gz",
            gzip.compress(b"who,what,points\n" + b"1,a,3\n" * 9, mtime=0)[:-9],
            "a.csv.gz is cut short or damaged (",
        ),
        ("a.csv", b"who,what,points\n1,a,3,9\n1,b,2,9\n", "a.csv: rows have more fields than the header names"),
        ("a.csv", b"who,what,points,points\n1,a,3,9\n", "a.csv has two columns named ['points']: rename one"),
        ("a.csv", b"who,what\n1,a\n", "a.csv has no column `points`: name one of `who`, `what`."),
        ("a.csv", b"who,what,points\n", "a.csv is empty: give one row for each rating"),
        ("a.csv", b"who,what,points\n1,\xff,3\n", "a.csv cannot be read as a CSV table ("),
    ],
)
def test_files_that_are_no_tables_are_refused_by_name(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        RatingData.from_long(path, **RATING)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for name in ("no.csv", "no.parquet"):
        with pytest.raises(ValueError, match=f"{name} cannot be opened .No such file"):
            RatingData.from_long(tmp_path / name, **RATING)


@pytest.mark.parametrize(
    ("lines", "more", "message"),
    [
        ("who,a,b\nx,1,2\n\ny,one,3", {}, "m.csv, line 4: column `a` holds 'one', which is not a finite number"),
        ("who,a,b\nx,1,inf\ny,2,3", {}, "m.csv, line 2: column `b` holds 'inf', which is not a finite number"),
        ("who,a,b\nx,1,2\nx,2,3", {}, "m.csv, line 3: agent `x` has a row already"),
        ("who,a,b\n,1,2\nx,2,3", {}, "m.csv, line 2: column `who` is empty"),
        ("who,a,a\nx,1,2\ny,2,3", {}, "m.csv has two columns named ['a']"),
        ("who,a,b\nx,1,2\ny,2,3", {"items": ["a", "c"]}, "m.csv has no column `c`"),
        ("who,a,b\nx,1,2\ny,2,3", {"items": ["a", "who"]}, "`items` names `who`, the column that says who rated"),
        ("who,a,b\nx,1,2\ny,2,3", {"agent": None}, "m.csv: say `agent=`, the column that names who rated"),
        ("who\nx\ny", {}, "m.csv has no column of ratings"),
        ("who,a,b\nx,1,9\ny,2,3\nz,1,1", {}, "m.csv: the rating of item `b` by agent `x` is 9, outside `scale`"),
    ],
)
def test_faults_of_a_matrix_are_named(tmp_path, lines, more, message):
    path = tmp_path / "m.csv"
    path.write_text(lines)
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        RatingData.from_wide(path, **({"agent": "who", "steps": range(1, 6)} | more))


WPI = Path(__file__).parents[3] / "shared/data/wpi_2017_student_preference.csv.gz"


@pytest.mark.skipif(not WPI.exists(), reason="snapshot data are not here")
def test_the_students_of_2017_are_read():
    data = RatingData.from_wide(WPI, agent=r"StudentID \ ProjectID", steps=(0, 0.5, 1))
    raw = np.loadtxt(gzip.decompress(WPI.read_bytes()).decode().splitlines(), delimiter=",", skiprows=1)
    assert data.ratings.shape == (928, 46)
    assert (data.agents[0], data.items[-1]) == ("1", "46")
    np.testing.assert_array_equal(data.ratings, raw[:, 1:])
