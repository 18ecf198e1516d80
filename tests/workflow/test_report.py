"""The report says what the outcome says, stands alone, and does not trust its text."""

import dataclasses
import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

from fairhand.inference import Outcome, Posterior
from fairhand.mechanisms.pseudomarket import TokenMarket
from fairhand.workflow import answers, certainty
from fairhand.workflow.market import EQUAL, INCUMBENT, LEARNED, POSTED, Setting, settle
from fairhand.workflow.report import write_report
from fairhand.workflow.run import holdback_name
from fairhand.workflow.study import load_study, packaged_study

UNIT = "dollars of generalised cost"
HELD = [holdback_name(f) for f in (0.0, 0.5, 0.75, 1.25, 1.5)]
RULES = [LEARNED, EQUAL, *HELD, POSTED, INCUMBENT, answers.SERIAL]
DRAWS, POPULATIONS, COINS, GROUPS, GOODS = 40, 4, 2, 6, 3


def make(lead: float = 0.0, noise: float = 1.0, over: float = 0.02, missing: str = "") -> Outcome:
    """An outcome in which the learned rule leads the others by `lead`, give or take `noise`."""
    rng = np.random.default_rng(3)
    shape = (len(RULES), DRAWS, POPULATIONS)
    common = rng.normal(20, 5, (1, DRAWS, 1, 1)) + rng.normal(0, 1, (1, 1, POPULATIONS, 1))
    groups = common + np.arange(GROUPS) + rng.normal(0, noise, (len(RULES), DRAWS, 1, 1)) + np.zeros((*shape, GROUPS))
    groups[0] += lead
    groups[RULES.index(answers.SERIAL)] = groups[1] * (1 + 1e-14)
    if missing:
        groups[..., 2] = np.nan
        groups[:, :, 0, 3] = np.nan
    short = rng.random((*shape, COINS)) < np.where(np.arange(len(RULES)) == 0, over, 0.5)[:, None, None, None]
    data = {
        answers.GROUPS: (("rule", "draw", "population", "group_means_item"), groups),
        answers.MEAN: (("rule", "draw", "population"), np.nanmean(groups, -1)),
        answers.ENVY: (("rule", "draw", "population"), rng.random(shape)),
        answers.OVER: (("rule", "draw", "population", "coin"), short.astype(float)),
        "realised excess": (("rule", "draw", "population", "coin"), 2.0 * short),
        "price": (("rule", "draw", "population", "price_item"), rng.uniform(0.8, 1, (*shape, GOODS))),
        answers.WORST: (("rule", "draw"), np.nanmean(groups[..., [0, 1, 3, 4, 5]], 2).min(-1)),
    }
    return Outcome(xr.Dataset(data, coords={"rule": RULES}))


DESIGNS = {"perfect_information": 0.5, "perfect_information_error": 0.4, "shadow": 20.0}
DESIGNS |= {"regret": [0.0, 1.25, -0.3], "regret_error": [0.0, 0.3, 0.2]}
TUNED = {"report": "objective <b>", "status": "", "caveats": [], "trace": [[1.0, 2.0], [2.0, 2.5], [3.0, 2.0]]}
TUNED |= {"value": 18.9, "error": 0.6, "start": 20.5, "start_chance": 0.82, "chance": 0.048, "chance_error": 0.007}
TUNED |= {"residual": 0.3}
FOUND = {"promise": "DSIC", "verdict": "not refuted", "worst": 1e-15, "error": 0.0, "tried": "8 populations"}
AUDITS = {LEARNED: {"ok": True, "notes": ["Nothing is promised: pass `also=[DSIC()]`."], "findings": [FOUND]}}


@pytest.fixture(scope="module")
def setting() -> Setting:
    study, _ = load_study(packaged_study())
    return settle(study, packaged_study().parent)


@pytest.fixture(scope="module")
def posterior(setting: Setting) -> Posterior:
    centre = np.array([-0.0155, -0.0961, 0.0133, 5.207, 3.869, 3.163])
    sites = {"coefficient": centre * np.random.default_rng(0).normal(1, 0.05, (2, 20, 6))}
    found = {"coefficient": centre}
    return Posterior.of(setting.model, setting.data, sites, found, {}, (), "laplace", "float64", 0.8, (0.0, 0.0))


def page(setting: Setting, posterior: Posterior, outcome: Outcome) -> str:
    rule = TokenMarket(np.linspace(0, 0.2, GROUPS), np.array([0.18, 0.2, 0.25]))
    facts = {"data": "d.csv", "data_sha256": "ab" * 32, "seed": 7, "precision": "float64", "python": "3"}
    facts |= {"versions": {"fairhand": "0"}, "study": json.dumps(setting.study.model_dump(mode="json"))}
    return write_report(setting, posterior, TUNED, rule, outcome, AUDITS, DESIGNS, facts)


@pytest.fixture(scope="module")
def usual(setting: Setting, posterior: Posterior) -> str:
    return page(setting, posterior, make(lead=3.0))


class Reader(HTMLParser):
    """Tags, addresses, and the rows of tables by section."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.addresses, self.rows, self.section, self.cell = [], [], {}, "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "data", "poster")]
        if tag == "section":
            self.section = dict(attrs)["id"]
        if tag == "tr":
            self.rows.setdefault(self.section, []).append([])
        self.cell = tag in ("td", "th")
        if self.cell:
            self.rows[self.section][-1].append("")

    def handle_endtag(self, tag):
        self.cell = False

    def handle_data(self, data):
        if self.cell:
            self.rows[self.section][-1][-1] += data

    def row(self, section: str, name: str) -> list[str]:
        return next(r for r in self.rows[section] if r[0] == name)


@pytest.mark.parametrize(
    ("lead", "headline"),
    [(3.0, "Use the learned rule"), (-3.0, "Keep the incumbent"), (0.2, "The incumbent is as good")],
)
def test_headline(lead, headline):
    outcome = make(lead)
    found = answers.decide(outcome, UNIT, 0.05)
    assert found.headline == headline
    said = " ".join(found.reasons)
    x = outcome.by_draw(answers.WORST)
    gain = (x.sel(rule=LEARNED) - x.sel(rule=INCUMBENT)).values
    assert f"least {abs(gain.mean()):.2f} {UNIT} per traveller {'more' if gain.mean() > 0 else 'less'}" in said
    low, high = np.quantile(gain, [0.05, 0.95])
    assert f"{low:.2f} to {high:.2f}".replace("-", "−") in said


def test_noise_that_may_hide_a_difference_is_owned_up_to():
    said = answers.decide(make(0.2), UNIT, 0.05, noise=0.56).reasons[0]
    assert "56\xa0% is noise of simulation" in said


def test_a_better_rule_that_breaks_its_limit_or_a_promise_is_not_recommended():
    for found, why in (
        (answers.decide(make(3.0, over=0.3), UNIT, 0.05), "above the limit"),
        (answers.decide(make(3.0), UNIT, 0.05, ["seats suffice"]), "seats suffice"),
    ):
        assert found.headline == "Keep the incumbent for now"
        assert why in found.reasons[0]


@pytest.mark.parametrize("than", [EQUAL, POSTED, INCUMBENT, LEARNED])
def test_probability_is_that_of_the_outcome(than):
    outcome = make(0.3)
    chance = answers.versus(outcome, answers.WORST, LEARNED, than).chance
    assert chance == outcome.chance_better(answers.WORST, LEARNED, than)
    assert than != LEARNED or chance == 0.5


def test_rounding_is_a_tie():
    found = answers.versus(make(), answers.WORST, EQUAL, answers.SERIAL)
    assert (found.chance, found.gain.mean) == (0.5, 0.0)


def test_a_probability_claims_no_more_than_the_draws_allow():
    assert answers.versus(make(30.0), answers.WORST, LEARNED, INCUMBENT).probability == "above 97.5\xa0%"
    assert answers.versus(make(-30.0), answers.WORST, LEARNED, INCUMBENT).probability == "below 2.5\xa0%"


def test_price_says_cost_and_limit():
    outcome = make(1.0)
    said = " ".join(answers.price(outcome, HELD[0], UNIT, 0.05))
    before, now = (outcome.by_draw(answers.OVER).sel(rule=rule).mean().item() for rule in (HELD[0], LEARNED))
    assert f"from {100 * before:.0f}\xa0% to {answers.percent(now)}" in said
    assert "within the limit of 5\xa0%" in said


def test_numbers():
    values = (16.185, -0.0355, 1234.5, 0.0, float("nan"))
    assert [answers.number(x) for x in values] == ["16.2", "−0.0355", "1,234", "0", "no data"]
    shares = [answers.percent(x) for x in (0.0356, 0.82, 0.0, 1.0, 0.05, 0.995, 0.09999)]
    assert shares == [f"{x}\xa0%" for x in ("3.6", "82", "0", "100", "5", "99.5", "10")]


def test_spreads_recover_a_known_truth():
    rng = np.random.default_rng(1)
    draws, populations = 4000, 8
    least = 10 + rng.normal(0, 2, (draws, 1)) + rng.normal(0, 3, (draws, populations))
    both = np.stack([least, least + 100], -1)
    data = {answers.GROUPS: (("rule", "draw", "population", "group_means_item"), both[None])}
    found = certainty.key_spreads(Outcome(xr.Dataset(data, coords={"rule": [LEARNED]})), LEARNED)
    np.testing.assert_allclose([found.knowledge, found.sampling], [2, 3], rtol=0.03)
    np.testing.assert_allclose(found.noise, 9 / 8 / (4 + 9 / 8), rtol=0.06)


def test_information():
    said = " ".join(certainty.redesign_information(DESIGNS, UNIT))
    for words in ("In 3 posterior draws", "loses 0.50 ", "most 1.2 ", "in 1 of 3 no", "two standard errors", "0.20"):
        assert words in said
    assert "does not bind" in " ".join(certainty.redesign_information(DESIGNS | {"shadow": 0.0}, UNIT))
    assert certainty.choice_information(make(30.0)) == 0.0
    assert certainty.choice_information(make(0.0)) > 0.0


def test_page_tables_equal_the_outcome(usual):
    outcome, reader = make(3.0), Reader(usual)
    for rule, shown in ((LEARNED, LEARNED), (EQUAL, EQUAL), (INCUMBENT, f"{INCUMBENT} (incumbent)")):
        x = outcome.by_draw(answers.WORST).sel(rule=rule).values
        row = reader.row("rules", shown)
        assert row[1] == f"{x.mean():.1f} ({np.quantile(x, 0.05):.1f} to {np.quantile(x, 0.95):.1f})"
        assert row[3].rstrip("¹") == f"{outcome.data[answers.ENVY].sel(rule=rule).values.mean():.3f}"
    assert reader.row("rules", f"{INCUMBENT} (incumbent)")[3].endswith("¹")
    group = outcome.by_draw(answers.GROUPS).sel(rule=LEARNED).isel(group_means_item=4).values
    assert reader.row("groups", "high income, alone")[1].startswith(f"{group.mean():.1f} (")
    over = outcome.by_draw(answers.OVER).sel(rule=LEARNED).values.mean()
    assert reader.row("oversubscription", "known: prices clear on their reports")[1].startswith(answers.percent(over))
    assert reader.row("null", "learned tokens less themselves")[3] == "50\xa0%"
    price = outcome.by_draw("price").sel(rule=LEARNED).isel(price_item=0).values.mean()
    assert reader.row("prices", "air")[1].startswith(f"{price:.3f}")
    assert usual.index("Use the learned rule") < usual.index("All rules side by side")
    assert "Hold back 18\xa0% of the air seats (7.2 of 40)." in usual


def test_page_stands_alone(usual):
    reader = Reader(usual)
    assert reader.addresses
    assert all(address.startswith("data:image/svg+xml;base64,") for address in reader.addresses)
    assert not {"script", "link", "iframe", "object"} & set(reader.tags)
    assert not re.search(r"https?:|@import|url\(", usual)


def test_page_carries_the_study(usual):
    assert "seed = 1987" in usual
    assert "[market.capacity]" in usual
    assert "ab" * 32 in usual


def test_text_of_users_is_escaped_and_missing_groups_are_said(setting, posterior):
    import matplotlib

    attack = "<script>alert(1)</script>"
    study = setting.study.model_copy(update={"title": attack, "question": f'"{attack}'})
    odd = dataclasses.replace(setting, study=study, groups=(attack, *setting.groups[1:]))
    before = dict(matplotlib.rcParams)
    outcome = make(3.0, missing="yes")
    text = page(odd, posterior, outcome)
    assert dict(matplotlib.rcParams) == before
    reader = Reader(text)
    assert "script" not in reader.tags
    assert html.escape(attack) in text
    row = reader.row("groups", setting.groups[2])
    assert row[1:] == ["no data"] * 5
    assert f"Nobody of this group came: {setting.groups[2]}." in text
    x = np.nanmean(outcome.data[answers.GROUPS].sel(rule=LEARNED).values[:, :, 3])
    assert reader.row("groups", setting.groups[3])[1].startswith(f"{x:.1f} (")
    assert "nan" not in re.sub(r"data:image[^\"]*", "", text).lower().replace("finan", "")
