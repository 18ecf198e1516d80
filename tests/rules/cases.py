"""One rule of each kind, with the world it is played in and the rules to be caught beside it."""

import dataclasses
from typing import Any

import equinox as eqx
import numpy as np
from rules.ball import Ball, Discounted, escape, promised_welfare
from rules.participatory import Participatory, unfairness
from rules.pick import Pick, QuantileThreshold
from rules.planted import Claiming, Inflated
from rules.softmax import Favourites, Scores
from rules.tokens import Groups, Stakes

from fairhand.mechanisms import (
    BIC,
    DSIC,
    AbstractMechanism,
    AbstractObjective,
    Grid,
    Kinds,
    Limit,
    Repeated,
    Scalings,
    ex_post,
    mean,
    metrics,
    of_rule,
    ratio,
)
from fairhand.mechanisms.pseudomarket import TokenMarket, TokenPrices
from fairhand.models import AbstractWorld, Draws, Independent, Items, TypeTable, Uniform


@dataclasses.dataclass(frozen=True)
class Case:
    """What one test needs to play, tune, propagate and audit a rule.

    Attributes:
        rule: honest, away from its best.
        world: who comes; `worlds`: several accounts of it.
        objective, limits: of tuning, the first best maximises the objective; `effort`: arguments of `tune`.
        metrics: questions of `propagate`.
        honest: the rule to audit, where it is not `rule`.
        liar: promises what it does not keep, `lie` is the broken promise's name.
        infeasible: gives what there is not.
        populations: to draw, or None for all profiles.
    """

    rule: AbstractMechanism
    world: AbstractWorld
    worlds: Draws
    objective: AbstractObjective
    liar: AbstractMechanism
    lie: str
    infeasible: AbstractMechanism
    limits: tuple[Limit, ...] = ()
    effort: dict[str, Any] = dataclasses.field(default_factory=dict)
    metrics: tuple[Any, ...] = (metrics.mean_utility,)
    honest: AbstractMechanism | None = None
    populations: int | None = 8
    coins: int = 0


def _pick() -> Case:
    items, agents = 30, 3
    world = Independent(Uniform(0.0, 1.0), agents, items, Items(all_given=True))
    claims = np.stack([np.ones(items), np.linspace(0, 1, items)])
    start = np.array([0.7, 0.2])
    return Case(
        rule=Pick(start),
        world=world,
        worlds=Draws.of(
            Independent(Uniform(np.array([0.0, 0.2, 0.4]), np.ones(3)), agents, items, Items(all_given=True)),
            lambda w: [w.law.low, w.law.high],
        ),
        objective=ratio(metrics.welfare, metrics.first_best),
        effort={"steps": 50, "populations": 16, "restarts": 2, "rate": 0.1},
        metrics=(metrics.mean_utility, metrics.envy, ratio(metrics.welfare, metrics.first_best)),
        liar=Claiming(QuantileThreshold(start), (DSIC(Grid(claims)),)),
        lie="DSIC",
        infeasible=Inflated(Pick(start)),
    )


def _tokens() -> Case:
    capacity = np.array([3.0, 3.0])
    world = Groups(np.array([1.0, 3.0]), capacity, 10)
    market = TokenMarket(head=[0.3, 0.3], holdback=[0.5, 0.5], eps=0.3)
    posted = TokenPrices(price=[0.8, 0.9], eps=0.3, head=[0.0, 0.5])
    crowded = mean(ex_post(metrics.oversubscribed)).trained_as(mean(metrics.chance_oversubscribed))
    return Case(
        rule=market,
        world=world,
        worlds=Draws.of(Groups(np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]]), capacity, 10), lambda w: [w.care]),
        objective=mean(metrics.mean_utility),
        limits=(crowded <= 0.5,),
        effort={"steps": 40, "populations": 8, "coins": 8, "rate": 0.2},
        metrics=(metrics.group_means(2), metrics.certified("price"), ex_post(metrics.oversubscribed)),
        honest=posted,
        liar=Stakes(posted),
        lie="DSIC",
        infeasible=Inflated(posted),
    )


def _participatory() -> Case:
    people = {"agents": 4, "options": 5, "supply": Items(all_given=True)}
    rule = Participatory(1.2, steps=800)
    felt = np.array([0.2, 0.4, 0.6])
    return Case(
        rule=rule,
        world=Independent(Uniform(), alpha=np.array(0.4), beta=np.array(0.3), **people),
        worlds=Draws.of(Independent(Uniform(), alpha=felt, beta=0.5 * felt, **people), lambda w: [w.alpha, w.beta]),
        objective=ratio(metrics.welfare, metrics.first_best),
        effort={"steps": 40, "populations": 8, "rate": 0.2, "temperature": (0.1, 0.03)},
        metrics=(metrics.mean_utility, unfairness, metrics.certified("gap")),
        liar=Claiming(rule, (DSIC(Scalings()),)),
        lie="DSIC",
        infeasible=Inflated(rule),
    )


def _promised() -> Case:
    world = Independent(Uniform(), agents=2, options=150)
    ball = Ball(centre=0.05, radius=0.38, margin=0.03, gamma=0.97)
    certified = Repeated(ball.harden())
    return Case(
        rule=Repeated(ball),
        world=world,
        worlds=Draws.of(
            Independent(Uniform(np.zeros(3), np.ones(3)), agents=2, options=150), lambda w: [w.law.low, w.law.high]
        ),
        objective=mean(Discounted(0.97)).trained_as(of_rule(promised_welfare)),
        limits=(of_rule(escape) <= 0.0,),
        effort={"steps": 400, "populations": 8, "rate": 0.03},
        metrics=(metrics.utility, mean(Discounted(0.97))),
        liar=Repeated(eqx.tree_at(lambda b: b.sway, ball.harden(), 0.0)),
        lie="one-shot incentive compatibility",
        infeasible=Inflated(certified, 3.0),
    )


def _interim() -> Case:
    worth = np.array([[2.0, 1.0], [1.0, 2.0]])
    even = np.array([0.5, 0.5])
    greedy = np.zeros((2, 2, 2))
    greedy[:, 1] = 1.0
    return Case(
        rule=Favourites(base=[0.0, 0.0], lead=[0.5, 0.1]),
        world=TypeTable(even, worth, agents=2),
        worlds=Draws.of(TypeTable(even, np.stack([worth, worth + 1, 2 * worth]), agents=2), lambda w: [w.worth]),
        objective=mean(metrics.welfare),
        effort={"steps": 100, "rate": 0.1},
        metrics=(metrics.utility, metrics.envy),
        liar=Claiming(Scores(greedy), (BIC(Kinds(2), 2),)),
        lie="BIC",
        infeasible=Inflated(Scores(np.full((2, 2, 2), 4.0))),
        populations=None,
    )


CASES = {
    "picking": _pick,
    "pseudomarket": _tokens,
    "participatory": _participatory,
    "promised": _promised,
    "interim": _interim,
}
