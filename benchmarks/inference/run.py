"""Effective draws per CPU second against other engines on the same models and priors, at matched accuracy.

`python benchmarks/inference/run.py [--python PATH] [--quick]`: each engine in a process of its own, one after another,
imports and compilation included. `--python` names an interpreter that has the other libraries too; engines that it lacks are
left out by name. Nothing here is a test.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# draws, warm-up and chains of each: short and long, as starting and compiling weigh less in a long run
USUAL = (1000, 500, 4)
PLANS = {
    "mixed": {
        "fairhand": [(500, 200, 4), (4000, 200, 4)], "numpyro": [(200, 200, 2), (1000, 500, 2)], "blackjax": [(1000, 500, 2)],
        "pymc": [(1000, 500, 2)], "nutpie": [(1000, 500, 2)],
    },
    "logit": {n: [USUAL] for n in ("fairhand", "numpyro", "blackjax", "pymc", "nutpie")},
    "rankings": {n: [USUAL] for n in ("fairhand", "numpyro", "blackjax", "pymc", "nutpie")},
}  # fmt: skip
REFERENCE = {"mixed": (5000, 1000, 4)}


def run(python: str, engine: str, problem: str, sizes: tuple[int, ...], cache: str) -> dict[str, Any] | None:
    """What one engine printed; None where it is not installed."""
    home = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    if not cache:
        home.pop("JAX_COMPILATION_CACHE_DIR")
    command = [python, str(HERE / "engines.py"), engine, problem, *map(str, sizes)]
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=home, cwd=HERE, check=False)
    if done.returncode:
        print(f"  {engine}: left out ({done.stderr.strip().splitlines()[-1][:150]})")
        return None
    return {"wall": time.perf_counter() - begin, **json.loads(done.stdout.strip().splitlines()[-1])}


def against(found: dict[str, Any], truth: dict[str, Any] | None) -> str:
    """Greatest distance from a long reference run, in its standard deviations, with the Monte-Carlo error of both."""
    if truth is None:
        return ""
    a, b = found["numbers"], truth["numbers"]
    off = {n: abs(a[n]["mean"] - b[n]["mean"]) / b[n]["sd"] for n in b}
    wide = {n: abs(a[n]["sd"] / b[n]["sd"] - 1) for n in b}
    worst, widest = max(off, key=lambda n: off[n]), max(wide, key=lambda n: wide[n])
    noise = (a[worst]["mean_error"] ** 2 + b[worst]["mean_error"] ** 2) ** 0.5 / b[worst]["sd"]
    spread = (a[widest]["sd_error"] ** 2 + b[widest]["sd_error"] ** 2) ** 0.5 / b[widest]["sd"]
    return f"  means within {off[worst]:.3f} sd (± {noise:.3f}), sds within {100 * wide[widest]:.1f} % (± {100 * spread:.1f})"


def show(engine: str, sizes: tuple[int, ...], found: dict[str, Any], truth: dict[str, Any] | None) -> float:
    """Print one row of the table; returns effective draws of the slowest number per CPU second."""
    least = min(x["ess"] for x in found["numbers"].values())
    rate = least / found["cpu"]
    plan = " + ".join(map(str, sizes[1::-1])) + f" x {sizes[2]}"
    print(
        f"  {engine:<10} {plan:<15} {rate:7.1f} /s   ess {least:6.0f}  cpu {found['cpu']:6.1f} s  wall {found['wall']:6.1f} s  "
        f"peak {found['peak_mb']:5.0f} MB{against(found, truth)}",
        flush=True,
    )
    return rate


def main() -> None:
    """Print one table a problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--quick", action="store_true", help="no long reference run")
    parser.add_argument("--problems", nargs="*", default=list(PLANS))
    said = parser.parse_args()
    for problem in said.problems:
        print(f"\n{problem}: effective draws of the slowest number per CPU second, cold caches")
        truth = None
        if problem in REFERENCE and not said.quick:
            truth = run(said.python, "numpyro", problem, REFERENCE[problem], "")
        rate: dict[str, float] = {}
        if truth is not None:
            rate["numpyro, reference"] = show("numpyro", REFERENCE[problem], truth, None)
        for engine, plans in PLANS[problem].items():
            for sizes in plans:
                found = run(said.python, engine, problem, sizes, "")
                if found is None:
                    break
                rate[f"{engine}, {sizes[0]} draws"] = show(engine, sizes, found, truth)
        own = {n: r for n, r in rate.items() if n.startswith("fairhand")}
        for name, mine in own.items():
            others = {n: mine / r for n, r in rate.items() if n not in own}
            print(f"  {name}: " + ", ".join(f"{x:.1f} x {n}" for n, x in others.items()))
    if "mixed" in said.problems:
        first_answer(said.python)


def first_answer(python: str) -> None:
    """Mode and errors of the mixed logit, caches warm, against xlogit's simulated maximum likelihood; whole processes."""
    print("\nfirst estimate with errors, mixed logit, whole process, compile cache warm")
    with tempfile.TemporaryDirectory() as cache:
        run(python, "fairhand-map", "mixed", (250, 1, 4), cache)
        for engine in ("fairhand-map", "xlogit"):
            found = run(python, engine, "mixed", (250, 1, 4), cache)
            if found is not None:
                print(f"  {engine:<13} wall {found['wall']:5.2f} s  cpu {found['cpu']:5.2f} s")


if __name__ == "__main__":
    main()
