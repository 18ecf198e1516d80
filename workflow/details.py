"""The report's second half as tables and sentences: checks, certainty, audit, training, fit, provenance."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..inference.outcome import Outcome
from ..inference.posterior import Posterior
from . import answers, certainty, figures
from .answers import GROUPS, MEAN, OVER, SERIAL, WORST, Estimate, level, number, percent, rough, versus
from .market import EQUAL, INCUMBENT, LEARNED, POSTED, Setting

PROMISES = {"DSIC": "no lie pays, whatever others say (DSIC)", "feasible in expectation": "seats suffice on average"}
PACKAGED = "package:modechoice.csv"
LEAST = "group that gains least"
PAIRED = "Mean and 90\N{NO-BREAK SPACE}% interval, paired draw by draw; same unit as above."


@dataclass(frozen=True)
class Table:
    """Cells as text, the first of each row its heading; `words` lets cells wrap."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    words: bool = False


def unit_of(setting: Setting) -> str:
    """What gains are measured in."""
    return setting.study.model.unit or setting.study.model.numeraire


def known(setting: Setting, outcome: Outcome) -> dict[str, Any]:
    """Over-subscription with the population known and unknown."""
    cases = {
        "known: prices clear on their reports": LEARNED,
        "not known: prices posted ahead, at their posterior means": POSTED,
    }
    rows = [
        [words, level(outcome, OVER, rule).as_percent, rough(answers.shortage(outcome, rule))]
        for words, rule in cases.items()
        if rule in outcome.rules
    ]
    head = ["travellers", "chance that some mode is over-subscribed", "seats short when it happens"]
    caption = "Mean and 90\N{NO-BREAK SPACE}% interval over posterior draws; seats on the shortest mode."
    return {"known": Table(head, rows, caption), "lotteries": setting.study.propagate}


def null(outcome: Outcome) -> dict[str, Any]:
    """Rules that theory calls equal, and the rule against itself."""
    pairs = [(EQUAL, INCUMBENT), (EQUAL, SERIAL), (LEARNED, LEARNED)]
    rows = []
    for one, two in ((a, b) for a, b in pairs if {a, b} <= set(outcome.rules)):
        worst = versus(outcome, WORST, one, two)
        name = "learned tokens less themselves" if one == two else f"{one} less {two}"
        rows.append([name, str(versus(outcome, MEAN, one, two).gain), str(worst.gain), worst.probability])
    return {"null": Table(["pair", "in mean gain", f"in gain of the {LEAST}", "first is better"], rows, PAIRED)}


def sure(setting: Setting, outcome: Outcome, designs: dict[str, Any]) -> dict[str, Any]:
    """Three spreads, and what it would be worth to know more."""
    unit = unit_of(setting)
    alone, lead = (certainty.key_spreads(outcome, LEARNED, than) for than in (None, INCUMBENT))
    few = Outcome(outcome.data[[MEAN, OVER]].sel(rule=[LEARNED])).summary().droplevel("rule")
    mean, over = few.loc[MEAN], few.loc[OVER]
    rows = [
        [f"gain of the {LEAST}", rough(alone.knowledge), rough(alone.sampling), "averaged out"],
        ["the same, less the incumbent's", rough(lead.knowledge), rough(lead.sampling), "averaged out"],
        ["mean gain", rough(mean["knowledge"]), rough(mean["sampling"]), "averaged out"],
        ["some mode over-subscribed, yes or no", *(percent(over[k]) for k in ("knowledge", "sampling", "coins"))],
    ]
    one, two = (answers.draws(outcome, WORST, rule) for rule in (LEARNED, INCUMBENT))
    fine = np.isfinite(one) & np.isfinite(two)
    together = float(np.corrcoef(one[fine], two[fine])[0, 1]) if fine.sum() > 2 else float("nan")
    caption = (
        f"Standard deviations, learned rule; gains in {unit} per traveller. Knowledge: what a bigger survey would "
        "shrink. Sampling: who happens to come to one market. Coins: the draw of budgets."
    )
    words = [
        f"All gains are divided by one uncertain number, the weight of {setting.study.model.numeraire} in choices, so "
        f"the two rules move together from draw to draw (correlation {number(together)}); their difference is surer "
        f"than either level. Of the variance of that difference, {percent(lead.noise)} is noise of simulation, which "
        "more populations per draw (`propagate.populations`) would shrink.",
        *certainty.redesign_information(designs, unit),
        "For the choice between the learned rule and the incumbent, knowing the truth would be worth "
        f"{rough(certainty.choice_information(outcome))} {unit} per traveller of the {LEAST}.",
    ]
    return {"spreads": Table(["", "knowledge", "sampling", "coins"], rows, caption), "sure_words": words}


def audit(audits: dict[str, Any]) -> dict[str, Any]:
    """What was tried against which promise, and what came of it."""
    rows, notes = [], []
    for rule, found in audits.items():
        for f in found["findings"]:
            worst = "0" if abs(f["worst"]) < 1e-9 else number(f["worst"])
            error = f" ± {rough(f['error'])}" if f["error"] > 0 else ""
            tried = f["tried"].replace("reports Orders", "lies: every order of their own values")
            rows.append([rule, PROMISES.get(f["promise"], f["promise"]), f["verdict"], worst + error, tried])
        notes += [f"{rule}: {note.split(': pass `also')[0].rstrip('.')}." for note in found["notes"]]
    head = ["rule", "promise", "verdict", "worst found", "how hard we tried"]
    return {"audit": Table(head, rows, words=True), "audit_notes": notes}


def tuning(setting: Setting, tuned: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    """How training went, and how its number differs from the report's."""
    unit, noise = unit_of(setting), tuned.get("residual_error")
    averaged = np.nanmin([level(outcome, GROUPS, LEARNED, i).mean for i in range(len(setting.groups))])
    status = tuned["status"] or "settled at a better rule"
    words = [
        f"Status: {status.rstrip('.')}.",
        f"Training began at equal tokens with nothing held back: objective {number(tuned['start'])}, over-subscribed "
        f"{percent(tuned['start_chance'])}. It ended at {number(tuned['value'])} (standard error "
        f"{rough(tuned['error'])}), over-subscribed {percent(tuned['chance'])} (standard error "
        f"{percent(tuned['chance_error'])}), against a limit of {percent(setting.study.rule.oversubscription)}. Both "
        "are judged on fresh populations.",
        f"The last gradients average {rough(tuned['residual'])}{f' (± {rough(noise)})' if noise else ''} of the "
        "steepest; 0 would be a perfect stop.",
        "This objective is the least of the group means over all draws together. The tables above take the least group "
        "within each draw and average then, which is lower by nature. Read the first way, the outcome gives "
        f"{number(averaged)} for the learned rule.",
    ]
    caption = (
        f"The objective ({unit}) on the populations of each training step, one line a restart. Each step meets new "
        "people, so it is noisy; while the limit is broken it may fall."
    )
    trace = figures.trace_figure(np.asarray(tuned["trace"], float))
    return {
        "tuning_words": words,
        "tuning_report": tuned["report"],
        "trace_figure": {"src": trace, "words": caption},
    }


def fit(setting: Setting, posterior: Posterior, shares: np.ndarray) -> dict[str, Any]:
    """Coefficients and their diagnosis, the correction for a choice-based sample, predicted shares."""
    from ..models.choice import check

    model, data, found = posterior.model, posterior.data, posterior.diagnosis
    mean = posterior.coefficient.mean(0)
    shift = np.asarray(model.correct(mean, data), float) - mean
    rows = []
    for (name, r), moved in zip(found.table.to_dict("index").items(), shift, strict=True):
        shown = Estimate(r["mean"], r["5%"], r["95%"], 0.0)
        corrected = number(r["mean"] + moved, shown.places) if abs(moved) > 1e-4 * r["sd"] else "–"
        forms = (("r_hat", ".3f"), ("ess_bulk", ",.0f"), ("ess_tail", ",.0f"))
        rows.append([str(name), str(shown), corrected, *(f"{r[k]:{form}}" if k in r else "–" for k, form in forms)])
    true = setting.study.model.population_shares
    predicted = [
        [o, percent(data.shares[o]), percent(true[o]) if true else "–", Estimate.of(shares[:, i]).as_percent]
        for i, o in enumerate((*setting.goods, setting.study.market.outside))
    ]
    sampler = ", ".join(f"{k.replace('_', ' ')} {v:.3g}" for k, v in found.sampler.items())
    by = {"nuts": "NUTS; R-hat near 1 and effective sample sizes (ESS) above 400 are good"}
    head = ["coefficient", "mean", "corrected", "R-hat", "ESS, bulk", "ESS, tail"]
    return {
        "fit_words": f"Conditional logit on {data.num_situations:,} choices ({data.source}), "
        f"{len(posterior.coefficient):,} draws by {by.get(posterior.method, posterior.method)}.",
        "corrected": bool(true),
        "unchecked": bool(true) and setting.study.data.file == PACKAGED,
        "coefficients": Table(head, rows, "Mean and 90\N{NO-BREAK SPACE}% interval; corrected: in the population."),
        "shares": Table(["favourite mode", "of the sample", "of the population", "predicted"], predicted),
        "fit_notes": [
            *found.problems,
            *found.notes,
            str(check(model, data)).splitlines()[0],
            *([f"Sampler: {sampler}."] if sampler else []),
        ],
    }


def reproduce(facts: dict[str, Any]) -> dict[str, Any]:
    """Seed, versions, hash and the whole study as TOML."""
    import tomli_w

    rows = [
        ["data", facts["data"]],
        ["sha256 of the data", facts["data_sha256"]],
        ["seed", str(facts["seed"])],
        ["precision", facts["precision"]],
        ["versions", ", ".join(f"{k} {v}" for k, v in {"Python": facts["python"], **facts["versions"]}.items())],
    ]
    study = tomli_w.dumps(_given(json.loads(facts["study"])))
    return {
        "provenance": Table(["", ""], rows, words=True),
        "study": study,
        "version": facts["versions"]["fairhand"],
    }


def _given(x: Any) -> Any:
    """Without the keys that are None, which TOML cannot say."""
    if isinstance(x, dict):
        return {k: _given(v) for k, v in x.items() if v is not None}
    return [_given(v) for v in x] if isinstance(x, list) else x
