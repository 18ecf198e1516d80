"""Picking rules at scale, as ratios: part of `make bench`.

One instance of 10^6 items and 10^3 agents, streamed, against a NumPy loop of `argpartition`; and 4096 populations of
5 agents and 1000 items, against a NumPy loop over populations.
"""

import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
from _timing import compare

from fairhand.mechanisms.picking import PickR, QuantileThreshold, allocate_stream, threshold_welfare
from fairhand.models import Population, Uniform

LAW = Uniform()
S = np.array([0.2, 0.25, 1 / 3, 0.5, 1.0])


def batch() -> None:
    """The learned thresholds, forward and back, and Pick-r beside them."""
    values = jax.random.uniform(jax.random.key(0), (4096, 5, 1000))
    table = np.asarray(values)
    # As the verbs call it, on a population: plain arrays are also checked for bad numbers, which is one pass more.
    welfare = jax.jit(lambda s, v: threshold_welfare(s, LAW, Population(v)))
    gradient = jax.jit(jax.value_and_grad(lambda s, v: threshold_welfare(s, LAW, Population(v))))
    s = jnp.asarray(S)
    print(
        compare(
            "thresholds, value and gradient to forward, 4096 x 5 x 1000",
            lambda: gradient(s, values),
            lambda: welfare(s, values),
            3.0,
        )
    )
    assert np.isclose(float(welfare(s, values)), by_loop(table, S), rtol=1e-5)
    print(
        compare("thresholds, forward to a NumPy loop", lambda: welfare(s, values), lambda: by_loop(table, S), 0.05, 5)
    )
    shares = jax.jit(lambda v: QuantileThreshold(S, LAW).allocate(Population(v)).shares)
    print(
        compare("thresholds, whole shares to a NumPy loop", lambda: shares(values), lambda: by_loop(table, S), 0.3, 5)
    )
    equal = PickR([0.2] * 5)
    pick = jax.jit(lambda v: equal.allocate(Population(v)).shares)
    assert np.array_equal(pick(values[:3]), [in_turn(v, equal.counts(1000)) for v in table[:3]])
    print(
        compare(
            "Pick-r, whole shares to a NumPy loop of argpartition",
            lambda: pick(values),
            lambda: [in_turn(v, equal.counts(1000)) for v in table],
            1.0,
            3,
        )
    )


def by_loop(table: np.ndarray, s: np.ndarray) -> float:
    """Welfare per item of thresholds on uniform values, population by population."""
    total = 0.0
    for values in table:
        free = np.ones(values.shape[1], bool)
        for mine, taken in zip(values, s, strict=True):
            wins = free & (mine >= 1 - taken)
            total += mine[wins].sum()
            free &= ~wins
    return total / (table.shape[0] * table.shape[2])


def in_turn(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Pick-r on one population, by selection among all items."""
    shares, free = np.zeros_like(values), np.ones(values.shape[1], bool)
    for i, count in enumerate(counts):
        top = np.argpartition(np.where(free, values[i], -np.inf), -count)[-count:]
        shares[i, top] = 1
        free[top] = False
    return shares


def stream(items: int = 10**6, agents: int = 10**3) -> None:
    """One large instance, row by row; rows are generated, so both sides pay for that."""

    def row(i: int) -> np.ndarray:
        return np.random.default_rng(i).random(items, dtype=np.float32)

    rule = PickR(np.full(agents, 1 / agents))
    counts = rule.counts(items)

    def ours() -> float:
        return allocate_stream(rule, row, agents, items).utility.sum()

    def theirs() -> float:
        free, total = np.ones(items, bool), 0.0
        for i, count in enumerate(counts):
            mine = np.where(free, row(i), -np.inf)
            top = np.argpartition(mine, -count)[-count:]
            total += mine[top].sum(dtype=np.float64)
            free[top] = False
        return total

    times = {}
    for name, run in (("ours", ours), ("NumPy", theirs)):
        start = time.perf_counter()
        value = run()
        times[name] = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"  {name}: welfare {value:.1f} in {times[name]:.1f} s, peak memory of the process so far {peak:.2f} GB")
    ratio = times["ours"] / times["NumPy"]
    verdict = "within" if ratio <= 1 else "ABOVE"
    print(f"Pick-r streamed, 10^3 agents x 10^6 items, to a NumPy loop of argpartition {ratio:.2f} x {verdict} 1 x")


if __name__ == "__main__":
    stream()  # first, since the peak of memory is that of the whole process
    batch()
