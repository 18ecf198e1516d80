"""Running a study: fit, tune, propagate, audit, design per draw, report. Each stage leaves a file, so a run resumes."""

import json
import platform
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .. import inference
from ..mechanisms import DSIC, ex_post, metrics
from ..mechanisms.pseudomarket import TokenMarket
from ..mechanisms.saved import rule_from_json, rule_to_json
from .directory import RunDirectory
from .market import EQUAL, LEARNED, POSTED, Setting, settle
from .report import write_report
from .study import StudyError, load_study, parse_study

Say = Callable[[str], None]
HOLDBACKS = (0.0, 0.5, 0.75, 1.25, 1.5)


class Interrupted(Exception):
    """Ctrl-C: what is done is on disk."""


def run_study(setting: Setting, run: RunDirectory, say: Say = print, progress: bool = True) -> Path:
    """Run or finish a study in a run directory; returns the report's path.

    Raises:
        Interrupted: after Ctrl-C, with the stage named; everything done so far is kept.
        StudyError, ValueError: a study that cannot be run, by name; the mark of the directory says why, too.
    """
    try:
        return _run(setting, run, say, progress)
    except ValueError as problem:
        run.say(f"The run stopped: {problem}")
        raise
    except KeyboardInterrupt:
        raise _interrupted(run, "between two stages") from None


def _run(setting: Setting, run: RunDirectory, say: Say, progress: bool) -> Path:
    clock = _Clock(say)
    keys = [jax.random.fold_in(jax.random.key(setting.study.seed), i) for i in range(5)]
    devices = len(jax.devices())

    posterior = _stage(
        run, "fit", "posterior.nc", clock,
        make=lambda: _fit(setting, run, keys[0], progress),
        save=lambda made: made.save(run.file("posterior.nc")),
        load=lambda: inference.Posterior.load(run.file("posterior.nc")),
    )  # fmt: skip
    _refuse_changes(setting, run, posterior)
    for problem in posterior.diagnosis.problems:
        say(f"warning    {problem}")
    worlds = setting.worlds(posterior)
    setting.refuse_slack(worlds)
    tuned = _stage(
        run, "tune", "tuned.json", clock,
        make=lambda: _tune(setting, worlds, run, keys[1], progress, devices),
        save=lambda made: _save_tuned(run, setting, made),
    )  # fmt: skip
    rule = rule_from_json(run.read_json("rule.json")["rule"])
    assert isinstance(rule, TokenMarket)
    outcome = _stage(
        run, "propagate", "outcome.nc", clock,
        make=lambda: _propagate(setting, worlds, rule, run, keys[2], progress, devices),
        save=lambda made: run.save("outcome.nc", made.to_netcdf),
        load=lambda: inference.Outcome.load(run.file("outcome.nc")),
    )  # fmt: skip
    audits = _stage(run, "audit", "audit.json", clock, make=lambda: _audit(setting, worlds, rule, outcome, keys[3]))
    designs = _stage(
        run, "designs", "designs.json", clock,
        make=lambda: _designs(setting, worlds, rule, tuned, run, keys[4], progress, devices),
    )  # fmt: skip
    path = run.file("report.html")
    run.write(
        "report.html", write_report(setting, posterior, tuned, rule, outcome, audits, designs, _provenance(setting))
    )
    run.finish()
    say(f"report     {path}")
    return path


def resume_study(path: Path, say: Say = print, progress: bool = True) -> Path:
    """Finish a run that was interrupted or killed; a finished one only gets its report anew."""
    run = RunDirectory.open(path)
    setting = settle(load_study(run.file("study.toml"))[0], path)
    run.say("The run is being resumed and is not finished. `fairhand resume` on this directory finishes it.")
    return run_study(setting, run, say, progress)


class _Clock:
    def __init__(self, say: Say):
        self.say, self.last = say, time.perf_counter()

    def tell(self, stage: str, how: str) -> None:
        now = time.perf_counter()
        self.say(f"{stage:<10} {how} {now - self.last:6.1f} s")
        self.last = now


def _stage(
    run: RunDirectory,
    name: str,
    file: str,
    clock: _Clock,
    *,
    make: Callable[[], Any],
    save: Callable[[Any], None] | None = None,
    load: Callable[[], Any] | None = None,
) -> Any:
    """Load what is there; else make it and save it, by default as JSON.

    Later stages see the saved form, resumed or not, so both give the same run.
    """
    load = load or (lambda: run.read_json(file))
    if run.has(file):
        value = load()
        clock.tell(name, "found")
        return value
    try:
        made = make()
    except KeyboardInterrupt:
        raise _interrupted(run, f"during {name}") from None
    run.write_json(file, made) if save is None else save(made)
    clock.tell(name, "done ")
    return load()


def _interrupted(run: RunDirectory, when: str) -> Interrupted:
    sentence = f"Interrupted {when}; `fairhand resume {run.path}` continues from there."
    run.say(sentence)
    return Interrupted(sentence)


def _stop_if(run: RunDirectory, stage: str, *sentences: str) -> None:
    if any("Interrupted after" in s for s in sentences):
        raise _interrupted(run, f"during {stage}")


def _refuse_changes(setting: Setting, run: RunDirectory, posterior: inference.Posterior) -> None:
    """What was found must have been made for this study and these data."""
    fits = posterior.data.sha256 == setting.data.sha256 and posterior.model.to_spec() == setting.model.to_spec()
    made = {"posterior.nc": fits}
    if run.has("rule.json"):
        study = json.loads(run.read_json("rule.json")["provenance"]["study"])
        made["rule.json"] = parse_study(study, "rule.json") == setting.study
    for name, same in made.items():
        if not same:
            raise StudyError(
                f"{run.file(name)}: was made for other data or another study; put them back, or start a new run with "
                "`fairhand run`."
            )


def _fit(setting: Setting, run: RunDirectory, key: jax.Array, progress: bool):
    f = setting.study.fit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the problems of the fit, which get lines of their own
        posterior = inference.fit(
            setting.model, setting.data, key=key, method=f.method, draws=f.draws, warmup=f.warmup, chains=f.chains,
            target_accept=f.target_accept, precision=setting.study.precision, progress=progress,
            checkpoint=run.checkpoint("fit"), resume=True,
        )  # fmt: skip
    _stop_if(run, "fit", *posterior.diagnosis.notes)
    return posterior


def _tune(setting: Setting, worlds, run: RunDirectory, key, progress: bool, devices: int):
    t = setting.study.tune
    tuned = inference.tune(
        setting.start(), setting.objective, worlds, key=key, subject_to=[setting.limit], steps=t.steps,
        restarts=t.restarts, populations=t.populations, coins=t.coins, rate=t.rate, judge=16,
        precision=setting.study.precision, progress=progress, devices=_share(devices, t.restarts),
        checkpoint=run.checkpoint("tune"), resume=True,
    )  # fmt: skip
    _stop_if(run, "tune", tuned.status)
    return tuned


def _share(devices: int, lanes: int) -> int:
    """As many devices as divide the lanes, which never wait for each other; one lane stays on one device."""
    return max(d for d in range(1, devices + 1) if lanes % d == 0)


def _save_tuned(run: RunDirectory, setting: Setting, tuned) -> None:
    rule = {
        "rule": rule_to_json(tuned.mechanism),
        "goods": setting.goods,
        "outside": setting.study.market.outside,
        "groups": setting.groups,
        "capacity": setting.capacity.tolist(),
        "provenance": _provenance(setting),
    }
    run.write_json("rule.json", rule)
    gain, error = tuned.gain
    facts = {
        "report": tuned.report(),
        "status": tuned.status,
        "caveats": tuned.caveats,
        "value": float(tuned.exact.value),
        "error": float(tuned.exact.error),
        "start": float(tuned.started.value),
        "gain": gain,
        "gain_error": error,
        "chance": float(tuned.exact.excess[0]) + setting.limit.bound,
        "chance_error": float(tuned.exact.excess_error[0]),
        "start_chance": float(tuned.started.excess[0]) + setting.limit.bound,
        "shadow": np.asarray(tuned.shadow).tolist(),
        "residual": float(tuned.residual),
        "trace": np.asarray(tuned.losses).tolist(),
        "seconds": list(tuned.seconds),
    }
    run.write_json("tuned.json", facts)


def _propagate(setting: Setting, worlds, rule: TokenMarket, run: RunDirectory, key, progress: bool, devices: int):
    p = setting.study.propagate
    questions = [
        metrics.group_means(len(setting.groups)),
        metrics.mean_utility,
        metrics.envy,
        ex_post(metrics.oversubscribed),
        metrics.certified("price"),
        setting.objective,
    ]

    def ask(rules: dict[str, Any], name: str) -> inference.Outcome:
        found = inference.propagate(
            rules, worlds, questions, key=key, populations=p.populations, coins=p.coins,
            precision=setting.study.precision, progress=progress, devices=devices,
            chunk=20, checkpoint=run.checkpoint(name), resume=True,
        )  # fmt: skip
        _stop_if(run, "propagate", *found.status)
        return found

    tokens = {LEARNED: rule, EQUAL: setting.start()}
    tokens |= {holdback_name(s): _held(rule, s) for s in HOLDBACKS}
    outcome = ask(tokens, "tokens")
    price = outcome.by_draw("price").sel(rule=LEARNED).mean("draw").values
    return outcome.join(ask({POSTED: rule.post(price), **setting.classics()}, "others"))


def _held(rule: TokenMarket, factor: float) -> TokenMarket:
    return TokenMarket(rule.head, np.minimum(np.asarray(rule.holdback) * factor, 1.0), rule.eps, rule.law)


def holdback_name(factor: float) -> str:
    """Name of the rule that holds back `factor` times what was learned."""
    return LEARNED if factor == 1 else f"learned tokens, {factor:g} x hold-back"


def _audit(setting: Setting, worlds, rule: TokenMarket, outcome, key) -> dict[str, Any]:
    lies = DSIC(agents=3)
    price = outcome.by_draw("price").sel(rule=LEARNED).mean("draw").values
    found = {
        LEARNED: inference.audit(rule, worlds, key=key, populations=4, also=[lies], precision=setting.study.precision),
        POSTED: inference.audit(rule.post(price), worlds, key=key, populations=4, precision=setting.study.precision),
    }
    return {
        name: {
            "ok": audit.ok,
            "notes": audit.notes,
            "findings": [
                {"promise": f.promise, "verdict": f.verdict, "worst": f.amount, "error": f.error, "tried": f.tried}
                for f in audit.findings
            ],
        }
        for name, audit in found.items()
    }


def _designs(setting: Setting, worlds, rule, tuned: dict[str, Any], run: RunDirectory, key, progress, devices):
    p, t = setting.study.propagate, setting.study.tune
    objective = setting.objective - tuned["shadow"][0] * setting.limit.objective
    designer = inference.Designer(rule, objective, steps=max(20, t.steps // 4), coins=t.coins, rate=t.rate / 2)
    found = inference.designs(
        rule, designer, worlds, objective, key=key, num=p.designs, judge=32, coins=t.coins, chunk=4,
        precision=setting.study.precision, progress=progress, devices=_share(devices, 4),
        checkpoint=run.checkpoint("designs"), resume=True,
    )  # fmt: skip
    _stop_if(run, "designs", found.status)
    value, error = found.perfect_information
    return {
        "perfect_information": value,
        "perfect_information_error": error,
        "regret": np.asarray(found.regret).tolist(),
        "regret_error": np.asarray(found.regret_error).tolist(),
        "holdback": np.asarray(found.parameters["holdback"]).tolist(),
        "head": np.asarray(found.parameters["head"]).tolist(),
        "shadow": tuned["shadow"][0],
    }


def _provenance(setting: Setting) -> dict[str, Any]:
    packages = ("fairhand", "jax", "numpyro", "equinox", "optax", "arviz", "numpy", "scipy")
    study = json.dumps(setting.study.model_dump(mode="json"), sort_keys=True)
    return {
        "data": setting.data.source,
        "data_sha256": setting.data.sha256,
        "seed": setting.study.seed,
        "precision": setting.study.precision,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "study": study,
    }
