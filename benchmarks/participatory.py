"""Participatory objectives at scale: part of `make bench`.

Certified optima of many agents; the same to a gap of 1e-6 against the pair program by HiGHS; two agents and 10^6 items; and what
welfare costs next to one sort. Processor seconds are told beside those of the clock, since machines are shared.
"""

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _timing import compare

from fairhand.mechanisms.participatory import measures
from fairhand.mechanisms.participatory.solvers.solve import solve

KINDS = ("uniform", "cubed", "nearly aligned", "Fehr and Schmidt's")


def population(kind: str, agents: int, items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, alpha and beta."""
    rng = np.random.default_rng(0)
    values, alpha = rng.random((agents, items)), rng.uniform(0.1, 0.4, agents)
    beta = alpha * rng.random(agents)
    if kind == "nearly aligned":
        values = np.outer(rng.random(agents), rng.random(items)) * (1 + 0.05 * values)
    elif kind == "cubed":
        values = values**3
    elif kind == "Fehr and Schmidt's":
        who = rng.choice(4, agents, p=[0.3, 0.3, 0.3, 0.1])
        alpha, beta = np.array([0, 0.5, 1, 4.0])[who], np.array([0, 0.25, 0.6, 0.6])[who]
    return values, alpha, beta


def timed(run: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result, seconds of the clock, seconds of the processors."""
    clock, cpu = time.perf_counter(), time.process_time()
    found = run()
    return found, time.perf_counter() - clock, time.process_time() - cpu


def large(agents: int = 10_000, items: int = 1000, kinds: tuple[str, ...] = KINDS) -> None:
    """10^4 agents x 10^3 items to 1e-4, compiling included in the first."""
    for kind in kinds:
        data = population(kind, agents, items)
        found, clock, cpu = timed(lambda data=data: solve(*data, method="first_order", tol=1e-4, throw=False))
        relative = found.gap / data[0].max(0).sum()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        good = found.converged and clock <= 180 and peak <= 2
        print(
            f"{agents} x {items}, {kind}: relative gap {relative:.1e} in {clock:.1f} s ({cpu:.1f} of processors), peak memory "
            f"of the process so far {peak:.2f} GB: {'within' if good else 'ABOVE'} 1e-4, 180 s, 2 GB"
        )


def against_highs() -> None:
    """To 1e-6, compiled before, against the linear program of all pairs, once each."""
    for agents, least in ((150, 1), (300, 10), (400, 30)):
        data = population("uniform", agents, 50)
        solve(*data, method="first_order", tol=1e-2)
        ours, clock, cpu = timed(lambda data=data: solve(*data, method="first_order", tol=1e-6, throw=False))
        theirs, lp_clock, lp_cpu = timed(lambda data=data: solve(*data, method="lp", tol=1e-6, throw=False))
        assert ours.dual >= theirs.primal * (1 - 1e-9)
        assert theirs.dual >= ours.primal * (1 - 1e-9)
        good = ours.converged and lp_clock >= least * clock
        print(
            f"{agents} x 50 to 1e-6: {clock:.2f} s ({cpu:.2f} of processors) against {lp_clock:.1f} s ({lp_cpu:.1f}) of HiGHS: "
            f"{lp_clock / clock:.0f} x faster ({lp_cpu / cpu:.0f} x) {'within' if good else 'BELOW'} {least} x, "
            f"gap {ours.gap / data[0].max(0).sum():.1e}"
        )


def two_agents(items: int = 10**6) -> None:
    """The closed form, certificate included."""
    values, alpha, beta = population("uniform", 2, items)
    found, clock, cpu = timed(lambda: solve(values, alpha, beta, method="two_agent"))
    print(
        f"2 x {items}: {clock:.2f} s ({cpu:.2f} of processors), gap {found.gap:.1e}: {'within' if clock < 1 else 'ABOVE'} 1 s"
    )


def evaluation(agents: int = 10**6) -> None:
    """Welfare, and its slope, against one stable sort."""
    rng = np.random.default_rng(0)
    u, alpha, beta = rng.random(agents), rng.random(agents), rng.random(agents)
    sort = lambda: np.argsort(u, kind="stable")
    print(compare("welfare of 10^6 agents to one sort", lambda: measures.welfare(u, alpha, beta), sort, 5.0, 7))
    print(compare("its slope to one sort", lambda: measures.supergradient(u, alpha, beta), sort, 5.0, 7))


def anytime(agents: int = 2000, items: int = 200) -> None:
    """What is certain after so many steps; certificates hold from the first."""
    data = population("Fehr and Schmidt's", agents, items)
    for steps in (200, 1000, 5000):
        found, clock, cpu = timed(
            lambda steps=steps: solve(*data, method="first_order", tol=1e-6, max_steps=steps, throw=False)
        )
        print(
            f"{agents} x {items}, {steps} steps: gap {found.gap / data[0].max(0).sum():.1e}, {clock:.1f} s ({cpu:.1f})"
        )


if __name__ == "__main__":
    large()  # first, since the peak of memory is that of the whole process
    large(100_000, 50, KINDS[:1])
    against_highs()
    two_agents()
    evaluation()
    anytime()
