"""The report: one page that works offline, with the decision in words first. Numbers come from `answers`."""

from pathlib import Path
from typing import Any

import numpy as np

from ..inference.outcome import Outcome
from ..inference.posterior import Posterior
from ..mechanisms import Averaged
from ..mechanisms.classic import Boston, Utilitarian
from ..mechanisms.pseudomarket import TokenMarket
from . import answers, certainty, details, figures
from .answers import ENVY, GROUPS, MEAN, OVER, WORST, level, number, percent, versus
from .details import LEAST, Table, unit_of
from .market import EQUAL, INCUMBENT, LEARNED, Setting

FACTORS = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5)


def write_report(
    setting: Setting,
    posterior: Posterior,
    tuned: dict[str, Any],
    rule: TokenMarket,
    outcome: Outcome,
    audits: dict[str, Any],
    designs: dict[str, Any],
    provenance: dict[str, Any],
) -> str:
    """The page as HTML, with pictures and style inside; text of users is escaped."""
    import jinja2

    templates = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    pages = jinja2.Environment(loader=templates, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    shares = _shares(setting, posterior)
    parts = (
        _decision(setting, posterior, tuned, outcome, audits, shares),
        _rules(setting, outcome),
        _groups(setting, outcome),
        _learned(setting, rule, outcome),
        _holdback(setting, outcome),
        details.known(setting, outcome),
        details.null(outcome),
        details.sure(setting, outcome, designs),
        details.audit(audits),
        details.tuning(setting, tuned, outcome),
        details.fit(setting, posterior, shares),
        details.reproduce(provenance),
    )
    return pages.get_template("report.html").render({k: v for part in parts for k, v in part.items()})


def _shares(setting: Setting, posterior: Posterior) -> np.ndarray:
    """`[draws, options]`, chance that each option is somebody's favourite; the outside option last."""
    some = setting.worlds(posterior).thin(20)
    return np.stack([np.asarray(some.one(i).shares()) for i in range(some.num)])  # pyright: ignore


def _held_back(outcome: Outcome) -> dict[float, str]:
    from .run import holdback_name

    return {f: holdback_name(f) for f in FACTORS if holdback_name(f) in outcome.rules}


def _decision(setting, posterior, tuned, outcome, audits, shares) -> dict[str, Any]:
    unit, limit, market = unit_of(setting), setting.study.rule.oversubscription, setting.study.market
    refuted = [f["promise"] for f in audits.get(LEARNED, {}).get("findings", ()) if f["verdict"] == "REFUTED"]
    wanted = shares.mean(0)[:-1] * market.travellers
    each = zip(setting.goods, setting.capacity, wanted, strict=True)
    seats = ", ".join(f"{g} {c:g} (wanted by {w:.0f})" for g, c, w in each)
    return {
        "title": setting.study.title,
        "question": setting.study.question,
        "market": f"{market.travellers} people come. Seats: {seats}; {market.outside} is free to all. Nobody pays.",
        "outside": market.outside,
        "unit": unit,
        "decision": answers.decide(
            outcome, unit, limit, refuted, certainty.key_spreads(outcome, LEARNED, INCUMBENT).noise
        ),
        "price": answers.price(outcome, _held_back(outcome).get(0.0, ""), unit, limit),
        "warnings": [
            *outcome.status,
            *posterior.diagnosis.problems,
            *([f"Tuning: {tuned['status']}"] if tuned["status"] else []),
            *tuned["caveats"],
            *(f"The audit refuted the learned rule's promise “{name}”." for name in refuted),
        ],
    }


def _rules(setting: Setting, outcome: Outcome) -> dict[str, Any]:
    classics = setting.classics()
    sampled = {n: r.coins for n, r in classics.items() if isinstance(r, Averaged) and n in outcome.rules}
    settled = [n for n, r in classics.items() if isinstance(r, Boston | Utilitarian) and n in outcome.rules]
    held = {name for factor, name in _held_back(outcome).items() if factor != 1}
    rows, loose = [], []
    for name in (n for n in outcome.rules if n not in held):
        over = level(outcome, OVER, name)
        loose += [name] if over.mean > 0 and name != LEARNED else []
        marks = "¹" * (name in sampled) + "²" * (name in settled)
        rows.append(
            [
                name + (" (incumbent)" if name == INCUMBENT else ""),
                level(outcome, WORST, name).text(),
                level(outcome, MEAN, name).text(),
                number(level(outcome, ENVY, name).mean) + marks,
                percent(over.mean) + "³" * (name in loose),
                "–" if name == LEARNED else versus(outcome, WORST, LEARNED, name).probability,
            ]
        )
    head = ["rule", f"gain of the {LEAST}", "mean gain", "envy", "over-subscribed", "learned rule is better"]
    caption = (
        f"Gains and envy in {unit_of(setting)} per traveller: mean, and 90\N{NO-BREAK SPACE}% interval over "
        f"{outcome.data.sizes['draw']} posterior draws."
    )
    notes = {
        f"¹ {answers.listed([*sampled] or [''])}: expected chances have no formula, so envy is measured on averages of "
        f"{max(sampled.values(), default=0)} lotteries, which overstates it.": sampled,
        f"² {answers.listed(settled or [''])}: no lottery is held, so envy is that of seats as handed out. Telling the "
        "truth is not rewarded, yet they are played on true wishes; in use they may do worse.": settled,
        "³ Gains count every promised seat as if it existed, so these rules look better than they could be.": loose,
    }
    return {"rules": Table(head, rows, caption), "rules_notes": [note for note, names in notes.items() if names]}


def _groups(setting: Setting, outcome: Outcome) -> dict[str, Any]:
    unit, rows = unit_of(setting), []
    for i, group in enumerate(setting.groups):
        found = versus(outcome, GROUPS, LEARNED, INCUMBENT, i)
        levels = [level(outcome, GROUPS, r, i).text() for r in (LEARNED, EQUAL, INCUMBENT)]
        rows.append([group, *levels, found.gain.text(), found.probability])
    head = ["group", "learned", "equal tokens", "incumbent", "learned less incumbent", "learned is better"]
    caption = f"Gain per traveller, {unit}: mean and 90\N{NO-BREAK SPACE}% interval; differences are paired by draw."
    words = "Gain by group, mean and 90\N{NO-BREAK SPACE}% interval. The rules' intervals move together; see the table."
    return {
        "who": answers.who_gains(outcome, setting.groups),
        "groups": Table(head, rows, caption),
        "groups_figure": {"src": figures.groups_figure(outcome, setting.groups, unit), "words": words},
    }


def _learned(setting: Setting, rule: TokenMarket, outcome: Outcome) -> dict[str, Any]:
    eps, goods, plain = float(rule.eps), setting.goods, rule.law is None
    learned, equal = ([level(outcome, "price", r, i) for i in range(len(goods))] for r in (LEARNED, EQUAL))

    def afford(head: float, price: answers.Estimate) -> str:
        return percent(float(np.clip((1 + eps * head - price.mean) / eps, 0, 1))) if plain else "–"

    heads = [
        [g, f"{eps * h:.3f}", percent(h), *(afford(h, p) for p in learned)]
        for g, h in zip(setting.groups, np.asarray(rule.head, float), strict=True)
    ]
    held = zip(goods, np.asarray(rule.holdback, float), setting.capacity, strict=True)
    prices = [[g, p.text(3), q.text(3)] for g, p, q in zip(goods, learned, equal, strict=True)]
    return {
        "budgets": (f"between {1 - eps:.3g} and 1" if plain else "from the law in rule.json")
        + (", as places in one shuffled queue" if getattr(rule, "lottery", False) else ", each by itself"),
        "holdback_words": [f"Hold back {percent(h)} of the {g} seats ({h * c:.1f} of {c:g})." for g, h, c in held],
        "prices_figure": {
            "src": figures.prices_figure(outcome, goods),
            "words": "Posterior of the prices: mean and 90\N{NO-BREAK SPACE}% interval.",
        },
        "prices": Table(
            ["price in tokens", "learned", "equal tokens"], prices, "Where all who want a seat get it, its price is 0."
        ),
        "heads": Table(
            ["group", "head start, tokens", "in widths of the draw", *(f"can afford {g}" for g in goods)],
            heads,
            "Only differences between groups matter. Can afford: the share of draws that cover the mean price.",
        ),
    }


def _holdback(setting: Setting, outcome: Outcome) -> dict[str, Any]:
    unit, limit, rules = unit_of(setting), setting.study.rule.oversubscription, _held_back(outcome)
    rows = []
    for factor, name in rules.items():
        lead = versus(outcome, WORST, name, INCUMBENT).gain
        over = level(outcome, OVER, name).as_percent
        rows.append([f"{factor:g}", over, level(outcome, WORST, name).text(), lead.text()])
    left = "More hold-back, fewer promises that cannot be kept. The band is a 90\N{NO-BREAK SPACE}% interval."
    right = "More hold-back, less gain. Below the dashed line the incumbent is better for the group that gains least."
    head = ["times the learned hold-back", "over-subscribed", f"gain of the {LEAST}", "less the incumbent's"]
    return {
        "holdback_figures": [
            {"src": figures.holdback_chance_figure(outcome, rules, limit), "words": left},
            {"src": figures.holdback_gain_figure(outcome, rules, unit), "words": right},
        ],
        "holdback": Table(head, rows, f"Gains in {unit} per traveller; mean and 90\N{NO-BREAK SPACE}% interval."),
    }
