"""Whoever gives a verb the wrong kind of thing is told which argument, what came, and what to give."""

import jax
import numpy as np
import pytest

import fairhand as fh
from fairhand.models import choice, rankings

X = np.random.default_rng(0).normal(size=(40, 3, 2))
DATA = choice.ChoiceData(X, np.arange(40) % 3, ("a", "b", "c"), ("size", "price"))
ORDERS = rankings.RankingData.from_orders([["a", "b"], ["b", "a"]] * 3, menu=["a", "b"])
MODEL = choice.ConditionalLogit(("size", "price"), constants=False)


@pytest.fixture(scope="module")
def posterior():
    return fh.prior(MODEL, DATA, draws=20)


@pytest.mark.parametrize("verb", [fh.fit, fh.prior, fh.calibrate, fh.recover], ids=lambda verb: verb.__name__)
@pytest.mark.parametrize(
    ("model", "data", "told"),
    [
        ("logit", DATA, "`model` must be a model"),
        (choice.ConditionalLogit, DATA, "the class `ConditionalLogit`: call it"),
        (MODEL, None, "`data` must be a `ChoiceData` for `ConditionalLogit`; got NoneType"),
        (MODEL, X, "`data` must be a `ChoiceData`"),
        (MODEL, ORDERS, "got RankingData"),
    ],
    ids=["words", "class", "nothing", "array", "rankings"],
)
def test_models_and_data(verb, model, data, told):
    with pytest.raises(ValueError, match=told):
        verb(model, data)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"key": 0}, "`key` must be one JAX key"),
        ({"key": jax.random.split(jax.random.key(0))}, "`key` must be one JAX key"),
        ({"points": "lots"}, "`points` must be"),
        ({"resume": True}, "`resume=True` needs `checkpoint`"),
        ({"draws": 0}, "`draws` must be a whole number, at least 1; got 0"),
        ({"warmup": -1}, "`warmup` must be a whole number, at least 0"),
    ],
)
def test_settings_of_a_fit(given, told):
    with pytest.raises(ValueError, match=told):
        fh.fit(MODEL, DATA, **given)


def test_questions_to_a_posterior(posterior, tmp_path):
    with pytest.raises(ValueError, match=r"`draws` must be a whole number"):
        posterior.predictive(draws=0)
    for wrong in ({}, {"a": 3}, 5):
        with pytest.raises(ValueError, match=r"`statistics` must map names to functions"):
            posterior.check(wrong)
    with pytest.raises(ValueError, match="`posteriors` must be at least two"):
        fh.compare(posterior)
    with pytest.raises(ValueError, match=r"`posteriors\['b'\]` must be a posterior"):
        fh.compare({"a": posterior, "b": 3})
    (tmp_path / "note.nc").write_text("no netcdf")
    with pytest.raises(ValueError, match="it is no NetCDF file"):
        fh.load(tmp_path / "note.nc")
