"""The README says nothing that is not so: its code runs as it stands, and what it names exists."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import fairhand
from fairhand.mechanisms import classic, picking, pseudomarket
from fairhand.workflow.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
LINKS = re.findall(r"\]\((?!http)([^)]+)\)", README)


@pytest.fixture(scope="module")
def story() -> tuple[dict[str, Any], list[str]]:
    """All blocks of code, one after the other, and what each printed."""
    names, printed = {}, []
    for block in BLOCKS:
        lines: list[str] = []
        names["print"] = lambda *x, sep=" ", lines=lines: lines.append(sep.join(map(str, x)))
        exec(compile(block, "README.md", "exec"), names)
        printed.append("\n".join(lines))
    return names, printed


@pytest.mark.slow
def test_the_first_block_tunes_a_rule_that_is_better_for_those_who_gain_least(story):
    names, printed = story
    gain, error = names["tuned"].gain
    assert gain > 3 * error
    assert "settled at a better rule" in printed[0]
    assert "probabilistic serial" in printed[0]
    assert "feasible in expectation" in printed[0]
    chance = names["found"].chance_better(names["worst_off"].name, "tokens", "probabilistic serial")
    assert chance > 0.9


@pytest.mark.slow
def test_a_rule_of_ones_own_is_refuted_twice(story):
    names, printed = story
    assert "REFUTED" in printed[1]
    audit = fairhand.audit(names["mine"], names["worlds"], key=names["jax"].random.key(3), populations=2)
    assert audit.finding("DSIC").amount > 0.01
    assert audit.finding("feasible in expectation").refuted


@pytest.mark.slow
def test_no_lie_pays_under_picking_and_what_that_costs_is_in_order(story):
    names, printed = story
    assert " 0 of " in printed[2]
    best, fair, safe = names["best"].ratio, names["fair"].ratio, names["safe"].guarantee
    assert safe < fair < best < 1
    assert names["owner"].shape == (600,)


def test_the_first_screen_holds_what_it_is_two_commands_code_and_a_picture():
    screen = README[: README.index("\n## ")]
    assert screen.count("```python") == 1
    assert re.findall(r"^make \S+", screen, re.MULTILINE) == ["make demo", "make test"]
    assert screen.count("![") == 1
    assert len(screen.splitlines()) < 60


@pytest.mark.parametrize("link", LINKS)
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_the_picture_is_small_and_stands_alone():
    (picture,) = [link for link in LINKS if link.startswith("docs/")]
    text = (ROOT / picture).read_text(encoding="utf-8")
    assert len(text.encode()) < 100_000
    assert not re.search(r"<script|<image|@import|href=\"(?!#)", text)


def test_every_command_exists():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"(?:`|^)make ([\w-]+)", README, re.MULTILINE)) <= set(targets)
    ours = re.findall(r"(?:`|^)fairhand (\w+)", README, re.MULTILINE)
    assert set(ours) == {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    for option in re.findall(r"(?<!\w)--[a-z]+", README):
        assert option in CliRunner().invoke(app, ["run", "--help"]).stdout


def test_every_name_exists():
    for name in re.findall(r"`fh\.(\w+)", README):
        assert hasattr(fairhand, name)
    for name in re.findall(r"^\| [^|]+ \| ((?:`[A-Z]\w+`(?:, )?)+)", README, re.MULTILINE):
        for rule in re.findall(r"`(\w+)`", name):
            assert hasattr(classic, rule) or hasattr(pseudomarket, rule)
    for rule in re.findall(r"`picking\.(\w+)", README):
        assert hasattr(picking, rule)
    for folder in re.findall(r"`([a-z]+(?:/[a-z]+)*)/`", README):
        assert any((base / folder).is_dir() for base in (ROOT, ROOT / "mechanisms", ROOT / "mechanisms/participatory"))
