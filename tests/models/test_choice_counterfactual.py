"""Other prices, other chances, for every model of choice: against sums by hand, and slopes against finite differences."""

import re
from typing import Any

import numpy as np
import pytest

from fairhand.inference import Posterior
from fairhand.models import TruncatedNormal
from fairhand.models.choice import (
    BudgetLogit,
    BundleLogit,
    ChoiceData,
    ConditionalLogit,
    LatentClassLogit,
    MixedLogit,
    bundle_choices,
)

PEOPLE, TIMES, DRAWS = 6, 4, 3
N = PEOPLE * TIMES
RNG = np.random.default_rng(0)
WHO = np.repeat(np.arange(PEOPLE), TIMES)
LOGIT = ConditionalLogit(("size", "price"), constants=False)
BETA = np.array([[0.8, -2.0], [1.0, -1.5], [0.5, -2.5]])  # by draw


def data(**fields: Any) -> ChoiceData:
    x = RNG.normal(size=(N, 3))
    price = RNG.uniform(0.7, 1.2, (N, 3)) * [1, 1, 0]
    wallet = np.broadcast_to(RNG.uniform(0.8, 1.1, (N, 1)), (N, 3))
    can = np.ones((N, 3), bool)
    can[::5, 0] = False
    columns = ("size", "price", "wallet")
    return ChoiceData(
        np.stack([x, price, wallet], -1),
        np.full(N, 2),
        ("a", "b", "none"),
        columns,
        available=can,
        person=WHO,
        **fields,
    )


DATA = data()
DEAR = DATA.changed(attributes=DATA.attributes * [1, 1.1, 1])


def posterior(model: Any, over: ChoiceData, **sites: np.ndarray) -> Posterior:
    one = {name: np.asarray(x, float)[None] for name, x in sites.items()}
    return Posterior.of(model, over, one, None, {}, (), "map", "float64", 0.8, (0.0, 0.0))


def logit(worth: np.ndarray, can: np.ndarray) -> np.ndarray:
    e = np.where(can, np.exp(worth), 0.0)
    return e / np.maximum(e.sum(-1, keepdims=True), 1e-300)


SHARE = np.array([[0.3, 0.7], [0.5, 0.5], [0.9, 0.1]])
CLASSES = np.stack([BETA, BETA * [[-1.0, 0.2]]], 1)  # [draws, classes, coefficients]


def by_classes(at: ChoiceData) -> np.ndarray:
    """Classes guessed from the choices that were fitted, whatever is asked."""
    out = []
    for share, beta in zip(SHARE, CLASSES, strict=True):
        was = [logit(DATA.attributes[..., :2] @ b, DATA.available)[np.arange(N), DATA.chosen] for b in beta]
        belongs = share * np.stack([[np.prod(p[i == WHO]) for p in was] for i in range(PEOPLE)])
        belongs /= belongs.sum(1, keepdims=True)
        now = np.stack([logit(at.attributes[..., :2] @ b, at.available) for b in beta])
        out.append(np.einsum("cso,sc->so", now, belongs[at.person]))
    return np.stack(out)


def by_budgets(at: ChoiceData, law: Any = None) -> np.ndarray:
    """A fine grid of budgets on [0.75, 1]."""
    edges = np.linspace(0.75, 1.0, 10_001)
    grid = (edges[1:] + edges[:-1]) / 2
    mass = np.full(len(grid), 1 / len(grid)) if law is None else np.diff(np.asarray(law.cdf(edges), float))
    cost, out = at.column("price"), np.zeros((DRAWS, N, 3))
    for s in range(N):
        sets, which = np.unique(at.available[s] & (cost[s] <= grid[:, None]), axis=0, return_inverse=True)
        weight = np.bincount(which.ravel(), mass)
        for d, b in enumerate(BETA[:, 0]):
            out[d, s] = weight @ np.stack([logit(at.column("size")[s] * b, can) for can in sets])
    return out


def by_wallets(at: ChoiceData) -> np.ndarray:
    can = at.available & (at.column("price") <= at.column("wallet"))
    return np.stack([logit(at.column("size") * b, can) for b in BETA[:, 0]])


SIZE = ConditionalLogit("size", constants=False)
LAW = TruncatedNormal(0.9, 0.1, 0.75, 1.0)
TEA = bundle_choices(
    [[0, 0], [1, 0], [0, 1], [1, 1]], np.arange(N) % 4, ("tea", "milk"), features={"price": RNG.uniform(1, 2, (N, 2))}
)
DEAR_TEA = TEA.changed(attributes=TEA.attributes * [1, 1, 1, 1.1])
WORTH = np.array([[0.5, 0.2, 0.3, -1.0], [0.1, 0.4, -0.3, -0.5], [0.5, 0.5, 0.5, -0.7]])
TASTE = RNG.normal(size=(DRAWS, PEOPLE, 2))
MIXED = MixedLogit(LOGIT)


def by_tastes(at: ChoiceData) -> np.ndarray:
    own = TASTE * MIXED.units(DATA, ("size", "price"))
    return logit(np.einsum("sok,dsk->dso", at.attributes[..., :2], own[:, at.person]), at.available)


CASES: dict[str, tuple[Posterior, Any, ChoiceData]] = {
    "latent classes": (posterior(LatentClassLogit(LOGIT), DATA, share=SHARE, coefficient=CLASSES), by_classes, DEAR),
    "unknown budgets": (
        posterior(BudgetLogit(SIZE, cost="price", eps=0.25), DATA, coefficient=BETA[:, :1]), by_budgets, DEAR,
    ),
    "budgets of a law": (
        posterior(BudgetLogit(SIZE, cost="price", eps=0.25, law=LAW), DATA, coefficient=BETA[:, :1]),
        lambda at: by_budgets(at, LAW), DEAR,
    ),
    "known budgets": (
        posterior(BudgetLogit(SIZE, cost="price", budget="wallet"), DATA, coefficient=BETA[:, :1]), by_wallets, DEAR,
    ),
    "bundles": (
        posterior(BundleLogit(("tea", "milk"), "price"), TEA, coefficient=WORTH),
        lambda at: np.stack([logit(at.attributes @ b, at.available) for b in WORTH]), DEAR_TEA,
    ),
    "tastes": (
        posterior(MIXED, DATA, taste=TASTE, mean=np.zeros((DRAWS, 2)), spread=np.ones((DRAWS, 2))), by_tastes, DEAR,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_predictions_are_sums_by_hand(name):
    fitted, by_hand, changed = CASES[name]
    for at in (None, changed):
        found = fitted.predict(at)
        right = by_hand(fitted.data if at is None else at)
        np.testing.assert_allclose(found["mean"], right.mean(0), atol=1e-4 if "budgets" in name else 1e-9)
        np.testing.assert_allclose(found["share"], right.mean((0, 1)), atol=1e-4 if "budgets" in name else 1e-9)
    assert np.abs(fitted.predict(changed)["mean"] - fitted.predict()["mean"]).max() > 0.01


@pytest.mark.parametrize("name", CASES)
def test_elasticities_agree_with_finite_differences(name):
    fitted, _, _ = CASES[name]
    attribute = "size" if name == "known budgets" else "price"
    found, h = fitted.elasticities(attribute)["mean"], 1e-5
    k = fitted.data.columns.index(attribute)
    for option in range(len(fitted.data.alternatives)):
        shares = []
        for sign in (1, -1):
            x = fitted.data.attributes.copy()
            x[:, option, k] *= np.exp(sign * h)
            sites = {n: np.asarray(y) for n, y in fitted.sites.items()}
            with fitted.computing():
                chance = fitted.model.choice_probabilities(
                    sites, fitted.data, changed=fitted.data.changed(attributes=x)
                )
            shares.append(np.log(np.asarray(chance).mean(1)))
        slope = ((shares[0] - shares[1]) / (2 * h)).mean(0)
        np.testing.assert_allclose(found[:, option], slope, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "ask", "said"),
    [
        ("bundles", lambda p: p.elasticities("tea"), "`attribute` 'tea' has no elasticity: it is 0 or 1"),
        (
            "bundles",
            lambda p: p.predict(TEA.changed(attributes=TEA.attributes * [0, 1, 1, 1])),
            "has other columns ['tea'], which say what bundles are",
        ),
        ("known budgets", lambda p: p.elasticities("price"), "'price' has no elasticity: a choice jumps where"),
        ("known budgets", lambda p: p.elasticities("wallet"), "'wallet' has no elasticity: a choice jumps where"),
        (
            "unknown budgets",
            lambda p: p.predict(DATA.changed(attributes=DATA.attributes - [0, 0.1, 0])),
            "a cost is 0 or more",
        ),
        (
            "unknown budgets",
            lambda p: p.predict(DATA.changed(attributes=DATA.attributes + [0, 0.9, 0])),
            "a budget may buy nothing at all",
        ),
        (
            "latent classes",
            lambda p: p.predict(DATA.changed(people=np.arange(10, 10 + PEOPLE))),
            "`data` must be of the people that were fitted",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(name, ask, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        ask(CASES[name][0])
