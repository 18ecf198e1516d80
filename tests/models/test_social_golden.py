"""The published estimates of Bruhin, Fehr and Schunk (2019), session 1, out of their data; skipped where these are not."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import fairhand as fh
from fairhand.models import social

FOLDER = Path(__file__).parents[2].parent / "shared" / "data"
CHOICES = FOLDER / "bfs2019_choices_session1.csv"
WEAK = dict.fromkeys(("alpha", "beta", "gamma", "delta", "log_precision"), (0.0, 10.0))

pytestmark = pytest.mark.skipif(not CHOICES.exists(), reason="the replication data are not here")


@pytest.fixture(scope="module")
def data() -> social.SocialChoiceData:
    dropped = np.loadtxt(FOLDER / "bfs2019_dropped_subjects.csv", dtype=np.int64)
    return social.SocialChoiceData.from_table(CHOICES, **social.COLUMNS_OF_BFS, without=dropped)


def at_mode(model: Any, posterior: fh.Posterior, data: Any) -> dict[str, np.ndarray]:
    """The sites at the mode, as one draw."""
    sites = {name: np.array([posterior.mode[name]]) for name in model.terms}
    return sites | {"log_precision": np.log([posterior.mode["precision"] * model.scale_of(data)])}


def test_the_file_holds_what_the_paper_says(data):
    import pandas as pd

    assert (data.num_situations, len(data.people)) == (18_720, 160)
    table = pd.read_csv(CHOICES)
    whole = social.SocialChoiceData.from_table(CHOICES, **social.COLUMNS_OF_BFS)
    assert len(whole.people) == 174
    # The authors' indicators: s where the other is richer, r where poorer.
    for at, option in enumerate("xy"):
        np.testing.assert_array_equal(whole.behind[:, at] > 0, table[f"s_{option}"] == 1)
        np.testing.assert_array_equal(whole.ahead[:, at] > 0, table[f"r_{option}"] == 1)


def test_the_aggregate_model_has_the_published_estimates(data):
    model = social.BruhinFehrSchunk(**WEAK)
    posterior = fh.fit(model, data, method="map", draws=50, contraction=False, progress=False)
    published = {"alpha": 0.083, "beta": 0.261, "gamma": 0.072, "delta": -0.042, "precision": 0.0156}
    for name, value in published.items():
        assert round(posterior.mode[name], len(str(value).split(".")[1])) == value, name
    with jax.enable_x64(True):
        total = float(np.asarray(model.log_densities(at_mode(model, posterior, data), data)).sum())
    assert round(total, 1) == -5472.3


def test_fehr_and_schmidt_see_the_other_sign_of_alpha(data):
    """Without reciprocity both are one model: α is minus the other's α."""
    plain = data.where(data.plain)
    ours = social.FehrSchmidt(alpha=(0.0, 10.0), beta=(0.0, 10.0), log_precision=(0.0, 10.0), lapse=None)
    theirs = social.BruhinFehrSchunk(reciprocity=False, **WEAK)
    one, two = (fh.fit(m, plain, method="map", draws=50, contraction=False, progress=False) for m in (ours, theirs))
    assert one.mode["alpha"] == pytest.approx(-two.mode["alpha"], abs=1e-6)
    assert one.mode["beta"] == pytest.approx(two.mode["beta"], abs=1e-6)
    assert one.mode["alpha"] < 0 < one.mode["alpha"] + one.mode["beta"]
