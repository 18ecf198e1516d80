"""The command line answers bad input with one sentence and exit code 2, before it touches anything."""

import csv
import gc
import os
import signal
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from fairhand.workflow.cli import _guard, app
from fairhand.workflow.directory import MARK
from fairhand.workflow.study import load_study, packaged_study

DATA = packaged_study().parents[1] / "data" / "modechoice.csv"


def fairhand(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception  # a traceback is never an answer
    return result


def refused(*arguments: str | Path) -> str:
    """What it says, which is one sentence on standard error."""
    result = fairhand(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("fairhand: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("fairhand: ").rstrip("\n")


@pytest.fixture
def study(tmp_path) -> Path:
    path = tmp_path / "study.toml"
    assert fairhand("init", path).exit_code == 0
    return path


@pytest.fixture
def table(tmp_path, study) -> Path:
    """A copy of the data beside the study, which reads it."""
    path = tmp_path / "mine.csv"
    path.write_bytes(DATA.read_bytes())
    study.write_text(study.read_text().replace("package:modechoice.csv", "mine.csv"))
    return path


def test_init_writes_the_demo(study):
    assert study.read_text() == packaged_study().read_text()
    assert "is already there" in refused("init", study)


def test_init_says_where_it_cannot_write(tmp_path):
    assert "cannot be written" in refused("init", tmp_path / "nowhere" / "study.toml")


def test_check_says_what_it_found(study):
    said = fairhand("check", study, "--set", "market.groups=[]").stdout
    assert "modechoice.csv: 210 choices among air, train, bus, car" in said
    assert "6 of 6 coefficients can be told apart" in said
    assert "groups: everybody" in said


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("market.capacty.air=3", "unknown key `market.capacty`; did you mean `capacity`?"),
        ("market.capacity.air=-1", "`market.capacity.air`"),
        ("market.capacity.boat=3", "unknown boat."),
        ("market.outside=walk", "`market.outside` is 'walk'"),
        ("data.file=none.csv", "there is no file"),
        ("model.base=walk", "the model names ['walk'], but the alternatives of the data are"),
        ("model.interactions={hinc=['air', 'train', 'bus', 'car']}", "hinc:air"),
        ("model.attributes=['gc', 'time']", "modechoice.csv has no attribute `time`: name it in `attributes`"),
        ("model.population_shares={air=0.5}", "`population_shares` must be positive and sum to 1"),
        ("model.numeraire=price", "`numeraire` must be one of `attributes`"),
        ("rubbish", "write key=value"),
    ],
)
def test_a_bad_study_is_refused_and_leaves_no_directory(study, tmp_path, command, setting, words):
    out = tmp_path / "out"
    where = ("--out", out) if command == "run" else ()
    assert words in refused(command, study, *where, "--set", setting)
    assert not out.exists()


def line(path: Path, number: int, change) -> None:
    """Change the fields of one line; the header is line 1."""
    rows = list(csv.reader(path.read_text().splitlines()))
    rows[number - 1] = change(dict(zip(rows[0], rows[number - 1], strict=True)))
    path.write_text("\n".join(",".join(row.values() if isinstance(row, dict) else row) for row in rows) + "\n")


@pytest.mark.parametrize(
    ("number", "change", "words"),
    [
        (7, {"gc": "nan"}, "mine.csv, line 7: column `gc` holds nothing, which is not a finite number"),
        (7, {"gc": ""}, "mine.csv, line 7: column `gc` holds nothing"),
        (8, {"ttme": "long"}, "mine.csv, line 8: column `ttme` holds 'long'"),
        (8, {"mode": "air"}, "mine.csv, line 8: alternative `air` appears twice in situation 2: keep one row."),
        (2, {"choice": "1"}, "mine.csv, line 5: situation 1 has a second choice in column `choice`"),
        (5, {"choice": "0"}, "mine.csv, line 2: situation 1 has no choice in column `choice`"),
        (5, {"choice": "2"}, "mine.csv, line 5: column `choice` holds '2'"),
        (3, {"mode": "tram"}, "mine.csv, line 2: situation 1 has no row for alternative `train`"),
        (6, {"individual": ""}, "mine.csv, line 6: column `individual` is empty"),
    ],
)
def test_bad_data_are_refused_by_file_and_line(study, table, tmp_path, number, change, words):
    line(table, number, lambda row: row | change)
    assert words in refused("run", study, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_column_is_named_with_those_there(study, table):
    table.write_text(table.read_text().replace("ttme", "time", 1))
    assert "mine.csv has no column `ttme`: name one of `individual`" in refused("check", study)


def test_bad_data_do_not_cost_an_old_run(study, table, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("study.toml", "posterior.nc", "report.html"):
        (out / name).write_text("old")
    line(table, 7, lambda row: row | {"gc": "nan"})
    refused("run", study, "--out", out, "--overwrite")
    assert sorted(p.name for p in out.iterdir()) == ["posterior.nc", "report.html", "study.toml"]


def test_an_old_run_is_refused_without_overwrite(study, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("study.toml", "report.html"):
        (out / name).write_text("old")
    assert "already holds a run (it is finished); name another, or pass --overwrite." in refused(
        "run", study, "--out", out
    )
    assert "already holds a run" in refused("demo", "--out", out)
    (out / MARK).write_text("begun")
    assert "(`fairhand resume` finishes it)" in refused("run", study, "--out", out)


def test_what_is_no_place_for_a_run_is_refused(study, tmp_path):
    assert "is not empty and holds no run" in refused("run", study, "--out", tmp_path)
    assert "is a file; name a directory" in refused("run", study, "--out", study)
    assert "cannot be written (Not a directory)" in refused("run", study, "--out", study / "out")


@pytest.mark.skipif(os.name != "posix", reason="no such place elsewhere")
def test_a_place_that_nobody_can_write_is_refused(study):
    assert "cannot be written" in refused("run", study, "--out", "/proc/fairhand")


def test_resume_wants_a_run(tmp_path):
    assert "holds no run to resume" in refused("resume", tmp_path / "nowhere")


@pytest.mark.slow
def test_slack_everywhere_is_one_sentence_and_the_directory_says_so(study, tmp_path):
    out = tmp_path / "out"
    plenty = "market.capacity={air=90, train=90, bus=90}"
    said = refused("run", study, "--out", out, "--quiet", "--set", plenty, "--set", "fit.method=map")
    assert said.startswith("`market.capacity` is slack everywhere (expected demand: air ")
    assert (out / MARK).read_text() == f"The run stopped: {said}\n"
    assert load_study(out / "study.toml")[0].market.capacity["bus"] == 90
    assert refused("resume", out, "--quiet") == said


def test_ctrl_c_is_heard_where_python_would_drop_it(capsys):
    """In a callback of the garbage collector, of which JAX has one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupted(phase: str, info: dict) -> None:
        gc.callbacks.remove(interrupted)
        signal.raise_signal(signal.SIGINT)

    def go() -> None:
        gc.callbacks.append(interrupted)
        gc.collect()
        for _ in range(300):
            time.sleep(0.1)

    try:
        with pytest.raises(typer.Exit) as stop:
            _guard(go)
    finally:
        signal.signal(signal.SIGINT, before)
    assert stop.value.exit_code == 130
    assert capsys.readouterr().err == "fairhand: Interrupted.\n"
