"""One rule for sampling weights: a person of weight 2 is that person twice, outside whatever is integrated over them."""

import doctest
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed, trace
from numpyro.infer.util import log_density

from fairhand.models import weights
from fairhand.models.choice import (
    BudgetLogit,
    BundleLogit,
    ChoiceData,
    ConditionalLogit,
    LatentClassLogit,
    MixedLogit,
    bundle_choices,
)
from fairhand.models.rankings import MixedRankOrderedLogit, PlackettLuce, RankingData, RankOrderedLogit

pytestmark = pytest.mark.usefixtures("relaxed_ranks")
PEOPLE, TIMES = 8, 3
WHO = np.repeat(np.arange(PEOPLE), TIMES)
COUNT = np.array([2.0, 1.0, 3.0, 0.0, 1.0, 2.0, 1.0, 1.0])  # by person
LOGIT = ConditionalLogit("size", constants=False)
ONE = np.ones(len(WHO))
RANDOM = np.random.default_rng(0)


def panel() -> ChoiceData:
    x = RANDOM.normal(size=(len(WHO), 3))
    cost = RANDOM.uniform(0.75, 1.0, x.shape) * [1, 1, 0]
    taken = np.where(cost <= 0.9, x + RANDOM.gumbel(size=x.shape), -np.inf).argmax(1)
    return ChoiceData(
        np.stack([x, cost], -1), taken, ("a", "b", "none"), ("size", "cost"), person=WHO, weight=COUNT[WHO]
    )


def bundles() -> ChoiceData:
    menu = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    return bundle_choices(menu, RANDOM.integers(0, 4, len(WHO)), ("tea", "milk"), person=WHO, weight=COUNT[WHO])


DATA = panel()
# Models in which nothing of a person's is drawn, their data, and where their arguments have the columns' scale: it would
# change with the rows, and the prior with it.
ALIKE: dict[str, tuple[Any, ChoiceData, int]] = {
    "conditional logit": (LOGIT, DATA, 4),
    "budget logit": (BudgetLogit(LOGIT, cost="cost", eps=0.25), DATA, 4),
    "bundle logit": (BundleLogit(("tea", "milk")), bundles(), 7),
    "latent classes": (LatentClassLogit(LOGIT), DATA, 4),
}


def drawn(model: Any, args: Any) -> dict[str, Any]:
    """One draw of the prior."""

    def draw(args):
        run = trace(seed(model.numpyro_model, jax.random.key(0))).get_trace(*args)
        return {n: s["value"] for n, s in run.items() if s["type"] == "sample" and not s["is_observed"]}

    return jax.jit(draw)(args)


@pytest.mark.parametrize("name", ALIKE)
def test_weight_two_is_the_same_person_twice(name):
    model, data, scale = ALIKE[name]
    every = data.expanded()
    assert every.num_situations == COUNT.sum() * TIMES
    assert np.bincount(every.person).tolist() == [TIMES] * int(COUNT.sum())
    with jax.enable_x64(True):
        once, many = (tuple(jnp.asarray(a) for a in model.arguments(d)) for d in (data, every))
        many = (*many[:scale], once[scale], *many[scale + 1 :])
        bare = tuple(jnp.asarray(a) for a in model.arguments(data.changed(weight=ONE)))
        sites = drawn(model, once)
        density = jax.jit(lambda args: log_density(model.numpyro_model, args, {}, sites)[0])
        found, right, plain = (float(density(args)) for args in (once, many, bare))
    np.testing.assert_allclose(found, right, rtol=1e-10)
    assert abs(plain - right) > 1


def ranked() -> RankingData:
    x = RANDOM.normal(size=(len(WHO), 4, 1))
    order = np.argsort(-(x[..., 0] + RANDOM.gumbel(size=x.shape[:2])), 1)
    return RankingData(
        order, "abcd", np.ones((len(WHO), 4)), attributes=x, columns=("size",), person=WHO, weight=COUNT[WHO]
    )  # fmt: skip


RANKED = ranked()
MIXED: dict[str, tuple[Any, Any]] = {
    "mixed logit": (MixedLogit(LOGIT), DATA),
    "mixed rank-ordered logit": (MixedRankOrderedLogit(RankOrderedLogit("size")), RANKED),
}


def by_person(model: Any, data: Any, root: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihood of each person at many tastes, and with tastes N(0.5, root^2) integrated out by quadrature."""
    nodes, mass = np.polynomial.hermite_e.hermegauss(60)
    with jax.enable_x64(True):
        args = tuple(jnp.asarray(a) for a in model.arguments(data))
        taste = (0.5 + root * nodes) / np.asarray(model.units(data, ("size",)))
        at = lambda b: model.person_log_likelihood(jnp.full((len(data.people), 1), b), (), *args)
        each = np.asarray(jax.jit(jax.vmap(at))(jnp.asarray(taste)))
    return each, np.log(mass / mass.sum() @ np.exp(each))


@pytest.mark.parametrize("name", MIXED)
def test_weights_of_people_with_tastes_stand_outside_the_integral(name):
    model, data = MIXED[name]
    each, alone = by_person(model, data.changed(weight=ONE))
    _, every = by_person(model, data.expanded())
    np.testing.assert_allclose(every.sum(), COUNT @ alone, rtol=1e-10)
    nodes, mass = np.polynomial.hermite_e.hermegauss(60)
    inside = np.log(mass / mass.sum() @ np.exp(each * COUNT))
    assert abs(inside.sum() - COUNT @ alone) > 0.5  # one person who did it all so many times says something else


@pytest.mark.parametrize("name", MIXED)
def test_a_row_of_weight_zero_is_left_out(name):
    model, data = MIXED[name]
    some = np.where(np.arange(len(WHO)) % TIMES == 1, 0.0, 1.0)
    found = by_person(model, data.changed(weight=some))[0]
    keep = np.flatnonzero(some)
    names = ("attributes", "chosen", "available") if "chosen" in dir(data) else ("attributes", "order", "level", "menu")
    fewer = data.changed(
        **{n: getattr(data, n)[keep] for n in names}, person=WHO[keep], weight=ONE[keep],
        **({"situations": keep} if "chosen" in names else {"labels": None}),
    )  # fmt: skip
    # The scale of columns is that of all rows: at the same tastes in the units of the data.
    np.testing.assert_allclose(found, by_person(model, fewer)[0], rtol=1e-10)


@pytest.mark.parametrize("name", MIXED)
def test_weights_that_would_need_several_tastes_are_refused_by_name(name):
    model, data = MIXED[name]
    with pytest.raises(ValueError, match=r"`weight` of .* Take `data.expanded\(\)`"):
        model.arguments(data)
    model.arguments(data.expanded())
    halves = data.changed(weight=np.full(len(WHO), 0.5))
    for refuse in (model.arguments, model.identify):
        with pytest.raises(ValueError, match="stands for so many people"):
            refuse(halves)
    with pytest.raises(ValueError, match="is not whole"):
        halves.expanded()
    uneven = data.changed(weight=1.0 + np.arange(len(WHO)) % 2)
    with pytest.raises(ValueError, match="has another `weight` than the person's other"):
        uneven.expanded()


def test_lists_of_one_person_may_weigh_differently_where_all_are_alike():
    uneven = RANKED.changed(weight=1.0 + np.arange(len(WHO)) % 2)
    assert PlackettLuce().simulation_arguments(uneven)[0].shape[1] == uneven.weight.sum()
    assert len(RankOrderedLogit("size").simulation_arguments(uneven)[6]) == uneven.weight.sum()


def test_examples_run():
    found = doctest.testmod(weights, extraglobs={"np": np})
    assert found.attempted > 0
    assert found.failed == 0
