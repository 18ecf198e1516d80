"""Ratios, not times: two functions in turn, A B A B, and the median of the pairwise ratios."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np


@dataclass(frozen=True)
class Ratio:
    """How much longer `a` takes than `b`: median, least and greatest of pairwise ratios; medians in milliseconds."""

    name: str
    limit: float
    median: float
    low: float
    high: float
    a_ms: float
    b_ms: float

    def __str__(self) -> str:
        verdict = "within" if self.median <= self.limit else "ABOVE"
        return (
            f"{self.name:<58} {self.median:7.2f} x  [{self.low:.2f}, {self.high:.2f}]  {verdict} {self.limit:g} x"
            f"   ({self.a_ms:.1f} ms against {self.b_ms:.1f} ms)"
        )


def compare(name: str, a: Callable[[], Any], b: Callable[[], Any], limit: float, runs: int = 15) -> Ratio:
    """Time `a` against the baseline `b`, both warmed up, in turn."""
    for f in (a, b, a, b):
        jax.block_until_ready(f())
    times = np.array([[_time(a), _time(b)] for _ in range(runs)])
    ratio = times[:, 0] / times[:, 1]
    ms = 1000 * np.median(times, 0)
    return Ratio(name, limit, float(np.median(ratio)), float(ratio.min()), float(ratio.max()), *map(float, ms))


def _time(f: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(f())
    return time.perf_counter() - start
