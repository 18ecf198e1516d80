"""A run directory never holds half a file, never takes what is not its own, and says so while it is not finished."""

import os
import stat

import pytest

from fairhand.workflow.directory import MARK, RunDirectory
from fairhand.workflow.study import StudyError

RAW = {"title": "x", "market": {"capacity": {"air": 4}}}


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "a" / "run", RAW, False)


def finished(run: RunDirectory) -> RunDirectory:
    run.write("report.html", "done")
    run.finish()
    return run


def test_a_new_run_says_that_it_is_not_finished(run):
    assert run.incomplete
    assert "`fairhand resume`" in (run.path / MARK).read_text()
    assert (run.path / "study.toml").read_text() == 'title = "x"\n\n[market.capacity]\nair = 4\n'


def test_a_finished_run_holds_neither_mark_nor_checkpoints(run):
    run.checkpoint("tune").parent.mkdir()
    run.checkpoint("tune").write_bytes(b"x")
    finished(run)
    assert not run.incomplete
    assert sorted(p.name for p in run.path.iterdir()) == ["report.html", "study.toml"]


def test_a_file_is_written_whole_or_not_at_all(run):
    run.write("report.html", "old")

    def fail(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run.save("report.html", fail)
    assert run.file("report.html").read_text() == "old"
    run.write("report.html", "new")
    assert [p.name for p in run.path.glob("report*")] == ["report.html"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_files_may_be_read_by_whom_the_user_lets_read(run):
    before = os.umask(0o022)
    try:
        run.write("report.html", "x")
        assert stat.S_IMODE(run.file("report.html").stat().st_mode) == 0o644
    finally:
        os.umask(before)


def test_json_keeps_every_bit(run):
    run.write_json("tuned.json", {"x": [0.1, float("inf")]})
    assert run.read_json("tuned.json") == {"x": [0.1, float("inf")]}


@pytest.mark.parametrize(
    ("complete", "hint"), [(True, "it is finished"), (False, "`fairhand resume` finishes it")], ids=["done", "cut"]
)
def test_a_run_is_not_replaced_unasked(run, complete, hint):
    if complete:
        finished(run)
    before = {p.name: p.read_bytes() for p in run.path.iterdir()}
    with pytest.raises(StudyError, match=rf"already holds a run \({hint}\); name another, or pass --overwrite"):
        RunDirectory.create(run.path, RAW, False)
    assert {p.name: p.read_bytes() for p in run.path.iterdir()} == before


def test_overwriting_takes_what_is_ours_and_nothing_else(run):
    for name in ("posterior.nc", "posterior.partial", "notes.json", "notes.txt"):
        run.file(name).write_text("x")
    run.checkpoint("tune").parent.mkdir()
    run.checkpoint("tune").write_bytes(b"x")
    fresh = RunDirectory.create(finished(run).path, RAW | {"title": "y"}, True)
    assert fresh.incomplete
    assert sorted(p.name for p in run.path.iterdir() if p.is_file()) == [MARK, "notes.json", "notes.txt", "study.toml"]
    assert 'title = "y"' in run.file("study.toml").read_text()
    assert not run.checkpoint("tune").exists()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["thesis.tex", "study.toml"])
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, name, overwrite):
    (tmp_path / name).write_text("mine")
    with pytest.raises(StudyError, match="is not empty and holds no run; name another directory"):
        RunDirectory.create(tmp_path, RAW, overwrite)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_run_killed_before_its_study_was_written_is_begun_anew(tmp_path):
    (tmp_path / MARK).write_text("begun")
    assert RunDirectory.create(tmp_path, RAW, False).has("study.toml")


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(StudyError, match="is a file; name a directory"):
        RunDirectory.create(tmp_path / "out", RAW, True)


def test_what_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StudyError, match=r"cannot be written \(Not a directory\); name another directory"):
        RunDirectory.create(tmp_path / "file" / "run", RAW, False)


@pytest.mark.skipif(os.name != "posix" or not os.getuid(), reason="nothing is forbidden to root")
def test_what_may_not_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StudyError, match="cannot be written"):
        RunDirectory.create(tmp_path / "run", RAW, False)


def test_only_a_run_is_opened(tmp_path):
    with pytest.raises(StudyError, match=r"holds no run to resume \(no study.toml\); start one with `fairhand run`"):
        RunDirectory.open(tmp_path)
