"""Posteriors made of known draws, so that what is done with draws is tested without fitting."""

import numpy as np

from fairhand.inference import Posterior
from fairhand.models import choice, ratings

TRUTH = np.array([-1.0, -2.0, 0.5, 0.0])
MODEL = choice.ConditionalLogit(("time", "cost"))


def simulated(people=40, each=6, spread=0.0, seed=0):
    """Choices of people whose coefficients are `TRUTH`, or differ from it by `spread`."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 2.0, (people * each, 3, 2))
    plain = choice.ChoiceData(x, np.zeros(len(x), int), ("bus", "train", "car"), ("time", "cost"))
    person = np.repeat(np.arange(people), each)
    own = TRUTH + spread * rng.normal(size=(people, 4))
    worth = np.einsum("sak,sk->sa", np.asarray(MODEL.design(plain)), own[person])
    chosen = (worth + rng.gumbel(size=worth.shape)).argmax(1)
    names = np.array([f"p{i}" for i in range(people)])
    return choice.ChoiceData(x, chosen, plain.alternatives, plain.columns, person=person, people=names)


def of_draws(data, centre=TRUTH, sd=0.05, draws=100, chains=2, model=MODEL, method="nuts"):
    """A posterior of independent normal draws, as a sampler might have left it."""
    rng = np.random.default_rng(1)
    coefficient = np.asarray(centre) + sd * rng.normal(size=(chains, draws, len(centre)))
    shape = (chains, draws)
    sampler = {
        "diverging": np.zeros(shape, bool),
        "energy": rng.normal(size=shape),
        "n_steps": np.full(shape, 7),
        "acceptance_rate": np.full(shape, 0.9),
    }
    sites = {"beta": coefficient.copy(), "coefficient": coefficient}
    centres = {"coefficient": np.asarray(centre)}
    return Posterior.of(
        model,
        data,
        sites,
        centres,
        sampler,
        ("a note",),
        method,
        "float64",
        0.8,
        (2.0, 1.0),
        how="Two chains, made up.",
    )


def of_laws():
    """Posterior draws of value laws by agent."""
    rng = np.random.default_rng(2)
    data = ratings.RatingData(rng.beta(2.0, [[1.0], [2.0], [4.0]], (3, 25)), agents=("ann", "bob", "cy"))
    model = ratings.HierarchicalLaw("beta")
    centre = np.array([2 / 3, 0.5, 1 / 3])
    sites = {
        "mean": centre + 0.02 * rng.normal(size=(2, 60, 3)),
        "concentration": 4.0 + 0.1 * rng.normal(size=(2, 60, 3)),
    }
    for name in ("mean", "concentration"):
        sites |= {f"{name}_{what}": np.abs(rng.normal(1, 0.1, (2, 60))) for what in ("centre", "spread")}
        sites[f"{name}_raw"] = rng.normal(size=(2, 60, 3))
    return Posterior.of(model, data, sites, None, {}, (), "nuts", "float64", 0.8, (0.0, 0.0))
