"""A study runs from TOML to report; killed or interrupted, it says so and goes on to the same rule."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fairhand.inference import Outcome, Posterior
from fairhand.mechanisms import parameters
from fairhand.mechanisms.pseudomarket import TokenMarket
from fairhand.mechanisms.saved import rule_from_json, rule_to_json
from fairhand.workflow.cli import app
from fairhand.workflow.directory import MARK
from fairhand.workflow.market import EQUAL, INCUMBENT, LEARNED
from fairhand.workflow.study import load_study, packaged_study

pytestmark = pytest.mark.slow  # whole studies

# As small as a run can be that goes through everything; other seats than the packaged study has.
TINY = {
    "fit": {"draws": 50, "warmup": 50, "chains": 2},
    "market": {"travellers": 40, "capacity": "{air=4, train=3, bus=2}"},
    "tune": {"steps": 5, "restarts": 1, "populations": 2, "coins": 2},
    "propagate": {"draws": 4, "populations": 2, "coins": 2, "designs": 2},
}
SETTINGS = [x for part, keys in TINY.items() for key, value in keys.items() for x in ("--set", f"{part}.{key}={value}")]
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
FILES = ["audit.json", "designs.json", "outcome.nc", "posterior.nc", "report.html", "rule.json", "study.toml"]


def fairhand(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def names(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir() if p.name != "tuned.json")


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(packaged_study().read_text())
    return path


@pytest.fixture(scope="session")
def finished(study, tmp_path_factory) -> tuple[Path, Result]:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    return out, fairhand("run", study, "--out", out, *SETTINGS)


def rule_of(path: Path) -> TokenMarket:
    rule = rule_from_json(json.loads((path / "rule.json").read_text())["rule"])
    assert isinstance(rule, TokenMarket)
    return rule


def test_a_run_leaves_everything_and_no_mark(finished):
    out, result = finished
    assert result.exit_code == 0
    assert names(out) == FILES
    assert result.stdout.splitlines()[-1] == f"report     {out / 'report.html'}"
    stages = [line.split()[0] for line in result.stdout.splitlines() if "done" in line]
    assert stages == ["fit", "tune", "propagate", "audit", "designs"]


def test_the_study_is_written_down_with_its_overrides(finished):
    study, _ = load_study(finished[0] / "study.toml")
    assert study.market.capacity == {"air": 4, "train": 3, "bus": 2}
    assert (study.fit.draws, study.tune.steps, study.propagate.designs) == (50, 5, 2)
    assert study.seed == 1987


def test_the_problems_of_a_short_fit_are_said(finished):
    posterior = Posterior.load(finished[0] / "posterior.nc")
    assert posterior.coefficient.shape == (100, 6)
    said = [line.removeprefix("warning    ") for line in finished[1].stdout.splitlines() if line.startswith("warning")]
    assert said == list(posterior.diagnosis.problems)


def test_the_rule_is_read_again_to_the_last_bit(finished):
    saved = json.loads((finished[0] / "rule.json").read_text())
    rule = rule_of(finished[0])
    assert rule_to_json(rule) == saved["rule"]
    assert np.shape(rule.head) == (len(saved["groups"]),)
    assert np.shape(rule.holdback) == (len(saved["goods"]),)
    assert saved["capacity"] == [4, 3, 2]
    assert saved["provenance"]["seed"] == 1987


def test_the_outcome_has_every_rule_and_no_supply_is_exceeded_on_average(finished):
    outcome = Outcome.load(finished[0] / "outcome.nc")
    assert {LEARNED, EQUAL, INCUMBENT} < set(outcome.rules)
    assert outcome.data.sizes["draw"] == 4
    clears = outcome.data["supply excess"].sel(rule=[LEARNED, EQUAL, INCUMBENT])
    assert float(clears.max()) < 1e-6


def test_the_report_is_about_this_study(finished):
    text = (finished[0] / "report.html").read_text()
    assert "air 4 (wanted by" in text
    assert "40 people come" in text


def test_resuming_a_finished_run_finds_all_and_writes_its_report_anew(finished):
    out, _ = finished
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    (out / "report.html").unlink()
    result = fairhand("resume", out)
    assert result.exit_code == 0
    assert result.stdout.count("found") == 5
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def copy_of(out: Path, to: Path, *files: str) -> Path:
    to.mkdir()
    for name in files or names(out):
        (to / name).write_bytes((out / name).read_bytes())
    return to


@pytest.mark.parametrize(
    ("old", "new", "culprit"),
    [
        ("prior_scale = 2.5", "prior_scale = 1.5", "posterior.nc"),
        ("eps = 0.2", "eps = 0.3", "rule.json"),
    ],
)
def test_results_made_for_another_study_are_refused(finished, tmp_path, old, new, culprit):
    out = copy_of(finished[0], tmp_path / "run")
    text = (out / "study.toml").read_text()
    assert old in text
    (out / "study.toml").write_text(text.replace(old, new))
    result = fairhand("resume", out)
    assert result.exit_code == 2
    assert f"{out / culprit}: was made for other data or another study" in result.stderr


def test_results_made_for_other_data_are_refused(finished, tmp_path):
    out = copy_of(finished[0], tmp_path / "run")
    data = packaged_study().parents[1] / "data" / "modechoice.csv"
    (out / "other.csv").write_text(data.read_text().replace("1,car,1,0,10,180,30,35,1", "1,car,1,0,10,180,31,35,1"))
    (out / "study.toml").write_text((out / "study.toml").read_text().replace("package:modechoice.csv", "other.csv"))
    result = fairhand("resume", out)
    assert result.exit_code == 2
    assert "was made for other data or another study" in result.stderr


PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell takes from what it runs in the background
from fairhand.__main__ import main
main()
"""


def disturbed(out: Path, number: signal.Signals, when: str, *arguments: str | Path) -> tuple[int, str]:
    """Call `fairhand` in a process of its own and send it a signal soon after a file is there: exit code and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Killed while it writes to the cache of programs, it would leave half a program there for the next to read.
        env=os.environ | ({"FAIRHAND_CACHE": "0"} if number == signal.SIGKILL else {}),
    )
    try:
        deadline = time.monotonic() + 300
        while not (out / when).exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        said = process.communicate(timeout=300)[1]
        return process.returncode, said
    finally:
        process.kill()


@posix
def test_interrupted_and_then_killed_a_run_says_so_and_comes_to_the_same_rule(study, finished, tmp_path):
    out = tmp_path / "run"
    # Ctrl-C, when the steps of tuning are done and its rule is not judged yet.
    code, said = disturbed(out, signal.SIGINT, "partial/tune.npz", "run", study, "--out", out, *SETTINGS)
    assert code == 130
    sentence = next(line for line in said.splitlines() if line.startswith("fairhand: ")).removeprefix("fairhand: ")
    assert sentence.startswith("Interrupted ")
    assert sentence.endswith(f"; `fairhand resume {out}` continues from there.")
    assert (out / MARK).read_text() == sentence + "\n"
    assert "report.html" not in names(out)

    # Killed, when it has gone on from the checkpoint and has a rule.
    code, _ = disturbed(out, signal.SIGKILL, "tuned.json", "resume", out)
    assert code == -signal.SIGKILL
    assert "`fairhand resume` on this directory finishes it" in (out / MARK).read_text()
    assert "report.html" not in names(out)
    refused = fairhand("run", study, "--out", out)
    assert refused.exit_code == 2
    assert "already holds a run (`fairhand resume` finishes it)" in refused.stderr

    result = fairhand("resume", out)
    assert result.exit_code == 0, result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines() if "found" in line] == ["fit", "tune"]
    assert names(out) == FILES
    for one, same in zip(parameters(rule_of(out)).values(), parameters(rule_of(finished[0])).values(), strict=True):
        np.testing.assert_allclose(one, same, rtol=1e-6, atol=1e-9)
    outcomes = [Outcome.load(path / "outcome.nc").data["mean_utility"].values for path in (out, finished[0])]
    np.testing.assert_allclose(*outcomes, rtol=1e-6)
