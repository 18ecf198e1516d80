"""The three problems every engine gets, as arrays: simulated once from a fixed seed, columns of unit scale."""

import numpy as np

PEOPLE, TIMES, ALTERNATIVES, ATTRIBUTES = 500, 10, 5, 4
PRIOR, SPREAD = 2.5, 1.0  # of means and coefficients, normal; of spreads, half-normal
RANKINGS, ITEMS = 5000, 5


def mixed() -> tuple[np.ndarray, np.ndarray]:
    """Attributes `[people, times, alternatives, attributes]` and choices `[people, times]`."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(PEOPLE, TIMES, ALTERNATIVES, ATTRIBUTES))
    x = x / scale(x)
    beta = np.array([1.0, -1.0, 0.5, 0.0]) + np.array([0.5, 0.8, 0.3, 0.6]) * rng.normal(
        size=(PEOPLE, 1, 1, ATTRIBUTES)
    )
    return x, ((x * beta).sum(-1) + rng.gumbel(size=x.shape[:3])).argmax(-1)


def logit() -> tuple[np.ndarray, np.ndarray]:
    """The same attributes, and choices of people who are all alike: `[situations, ...]`."""
    x, _ = mixed()
    x = x.reshape(-1, ALTERNATIVES, ATTRIBUTES)
    rng = np.random.default_rng(1)
    return x, (x @ np.array([1.0, -1.0, 0.5, 0.0]) + rng.gumbel(size=x.shape[:2])).argmax(-1)


def rankings() -> np.ndarray:
    """Full orders `[rankings, items]`, best first, of items with worths 0 to 1."""
    rng = np.random.default_rng(2)
    return np.argsort(-(np.linspace(1, 0, ITEMS) + rng.gumbel(size=(RANKINGS, ITEMS))), 1)


def scale(x: np.ndarray) -> np.ndarray:
    """Root mean square deviation of each column from its situation's mean, as the models standardise."""
    return np.sqrt(((x - x.mean(-2, keepdims=True)) ** 2).mean((0, 1, 2)))
