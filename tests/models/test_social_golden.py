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


def flat_em(columns: np.ndarray, person: np.ndarray, slope: np.ndarray, share: np.ndarray) -> Any:
    """Maximum likelihood of a mixture of logits by plain EM, with SciPy for each type; a second opinion."""
    from scipy.optimize import minimize
    from scipy.special import log_expit, logsumexp

    for _ in range(6):
        each = np.stack([np.bincount(person, log_expit(columns @ b)) for b in slope], -1) + np.log(share)
        belongs = np.exp(each - np.asarray(logsumexp(each, 1, keepdims=True)))
        share = belongs.mean(0)
        for k, b in enumerate(slope):
            weight = belongs[person, k]
            fun = lambda b, w=weight: -w @ log_expit(columns @ b)
            jac = lambda b, w=weight: -columns.T @ (w * (1 - 1 / (1 + np.exp(-columns @ b))))
            slope[k] = minimize(fun, b, jac=jac, method="BFGS", options={"gtol": 1e-4}).x
    return share, slope


@pytest.mark.slow
def test_three_types_are_the_published_ones(data):
    """Up to labels: ours are numbered by β, so behindness averse, moderately and strongly altruistic."""
    import pandas as pd

    table = pd.read_csv(FOLDER / "bfs2019_published_session1_types.csv").to_numpy()[:, 1:].astype(float)
    published, error = (table[:, at].T for at in ([4, 2, 0], [5, 3, 1]))  # rows: type; columns: π, α, β, γ, δ, σ
    np.testing.assert_allclose(published[:, 0], [0.121, 0.474, 0.405])
    weak = dict.fromkeys(("alpha", "beta", "gamma", "delta"), (0.0, 3.0)) | {"log_precision": (0.0, 5.0)}
    model = social.PreferenceTypes(social.BruhinFehrSchunk(**weak), types=3)
    posterior = fh.fit(model, data, method="map", draws=50, contraction=False, progress=False)
    mode = posterior.mode
    share = np.array([mode["share[1]"], mode["share[2]"], 1 - mode["share[1]"] - mode["share[2]"]])
    names = ("alpha", "beta", "gamma", "delta", "precision")
    found = np.column_stack([share, [[mode[f"{n}[{k}]"] for n in names] for k in (1, 2, 3)]])
    # The mode is one of the posterior: labels in order and shares of Dirichlet(1) move it by a little of the errors.
    assert np.abs((found - published) / error).max() < 0.25
    # From there maximum likelihood has every printed digit but the last.
    p = model.preferences
    sign = np.where(data.chosen == 0, 1.0, -1.0) / data.scale
    columns = np.column_stack([sign * (x[..., 0] - x[..., 1]) for x in (data.own, *p.features(data))])
    precision = found[:, 5] * data.scale
    slope = np.column_stack([precision, precision[:, None] * found[:, 1:5]])
    share, slope = flat_em(columns, data.person, slope, share)
    exact = np.column_stack([share, slope[:, 1:] / slope[:, :1], slope[:, 0] / data.scale])
    np.testing.assert_allclose(exact, published, atol=0.0016)


@pytest.mark.slow
def test_people_who_differ_are_fitted_with_clean_diagnostics(data):
    """160 people with 117 choices each; minutes on two cores."""
    model = social.HierarchicalFehrSchmidt()
    posterior = fh.fit(model, data.where(data.plain), draws=300, warmup=200, progress=False)
    table = posterior.diagnosis.table
    assert posterior.diagnosis.problems == ()
    assert posterior.diagnosis.sampler["divergences"] == 0
    assert table["r_hat"].max() < 1.02
    assert posterior.diagnosis.sampler["k_hat"] < 0.7
    # Most people are altruists behind, fewer than ahead: α_FS < 0 < α_FS + β_FS, and both vary.
    mean = posterior.mean
    assert mean["mean[alpha]"] < 0 < mean["mean[alpha]"] + mean["mean[beta]"]
    assert mean["spread[alpha]"] > 5 * posterior.sd["spread[alpha]"]
    own = posterior.people()["mean"]
    assert own.sizes == {"person": 160, "term": 3}
    # Their own choices move people apart: the spread of posterior means is most of the spread of the law.
    assert 0.6 < float(own.sel(term="beta").std()) / mean["spread[beta]"] < 1.1


def test_elicited_aversion_of_the_threshold_game_is_read():
    found = social.Traits.read(
        FOLDER / "threshold_public_goods_main_traits.csv", person="pid", alpha="fs_alpha", beta="fs_beta"
    )
    assert len(found.people) == 191
    np.testing.assert_allclose([found.alpha.mean(), found.beta.mean()], [0.0249, 0.0942], atol=5e-5)
    assert (found.alpha.min(), found.beta.min()) == (-0.313, -7.0)  # altruists, and who likes to be ahead
    people = found.of(["94", "12"]).population(np.ones((2, 3)), unit="points")
    np.testing.assert_allclose(people.alpha, [0.0, -0.313])
    np.testing.assert_allclose(people.beta, [0.111, 0.5])
