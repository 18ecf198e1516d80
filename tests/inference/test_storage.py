"""What is saved: whole, without people, or as a summary; and what each of them says when asked for too much."""

import json

import numpy as np
import pytest
from known_draws import MODEL, of_draws, of_laws, simulated

import fairhand as fh
from fairhand.models import choice


@pytest.fixture(scope="module")
def known():
    return of_draws(simulated(people=10))


@pytest.fixture(scope="module")
def laws():
    return of_laws()


def same(one, two):
    assert one.model == two.model
    assert one.data.sha256 == two.data.sha256
    assert one.diagnosis.table.equals(two.diagnosis.table)
    for name in ("method", "how", "precision", "mode", "seconds", "dropped"):
        assert getattr(one, name) == getattr(two, name)
    assert (one.diagnosis.problems, one.diagnosis.notes) == (two.diagnosis.problems, two.diagnosis.notes)
    for name, group in one.groups.items():
        assert group.equals(two.groups[name].astype({v: x.dtype for v, x in group.items()}))


@pytest.mark.parametrize("which", ["known", "laws"])
def test_what_is_saved_opens_the_same(which, request, tmp_path):
    posterior = request.getfixturevalue(which)
    posterior.save(tmp_path / "all.nc")
    same(posterior, fh.load(tmp_path / "all.nc"))


def test_a_prior_and_further_groups_are_kept(known, tmp_path):
    before = fh.prior(MODEL, known.data, draws=20)
    before.groups["prior_predictive"] = before.predictive()
    before.save(tmp_path / "prior.nc")
    opened = fh.load(tmp_path / "prior.nc")
    same(before, opened)
    assert opened.method == "prior"
    assert opened.groups["prior_predictive"]["chosen"].shape == (1, 20, 60)


def test_globals_leave_people_out_and_say_so(laws, tmp_path):
    laws.save(tmp_path / "all.nc")
    laws.save(tmp_path / "globals.nc", draws="globals")
    opened = fh.load(tmp_path / "globals.nc")
    assert set(opened.sites) == {f"{p}_{w}" for p in ("mean", "concentration") for w in ("centre", "spread")}
    assert set(opened.dropped) == {"mean", "concentration", "mean_raw", "concentration_raw"}
    assert "Saved with draws='globals': without" in repr(opened)
    assert np.array_equal(opened.sites["mean_centre"], laws.sites["mean_centre"])
    assert opened.mean == pytest.approx(laws.mean)  # as the diagnosis keeps them
    assert opened.names == laws.names
    opened.save(tmp_path / "again.nc")
    same(opened, fh.load(tmp_path / "again.nc"))


@pytest.mark.parametrize(
    "ask",
    [
        lambda p: p.law(),
        lambda p: p.people(),
        lambda p: p.log_likelihood(),
        lambda p: p.predictive(),
        lambda p: p.world(same=True, items=3),
        lambda p: p.scalars,
    ],
)
def test_what_needs_people_is_refused_with_the_cure(laws, tmp_path, ask):
    laws.save(tmp_path / "globals.nc", draws="globals")
    opened = fh.load(tmp_path / "globals.nc")
    with pytest.raises(
        ValueError, match="saved with `draws='globals'`, without `.*save with `draws='all'`, or fit again"
    ):
        ask(opened)


def test_strangers_need_no_people(laws, tmp_path):
    laws.save(tmp_path / "globals.nc", draws="globals")
    assert fh.load(tmp_path / "globals.nc").world(agents=4, items=5, draws=10).num == 10


def test_globals_of_a_logit_are_all_of_it(known, tmp_path):
    known.save(tmp_path / "globals.nc", draws="globals")
    same(known, fh.load(tmp_path / "globals.nc"))


def test_a_summary_has_all_but_draws(known, tmp_path):
    path = tmp_path / "light.json"
    known.save(path)
    found = json.loads(path.read_text())
    assert found == known.summary()
    assert choice.ConditionalLogit.from_spec(found["model"]) == MODEL
    assert found["data"]["sha256"] == known.data.sha256
    assert found["how"] == "Two chains, made up."
    place = found["diagnosis"]["names"].index("cost")
    assert found["diagnosis"]["columns"]["mean"][place] == known.mean["cost"]
    names, table = found["correlations"]["names"], found["correlations"]["table"]
    assert table[names.index("time")][names.index("cost")] == pytest.approx(
        np.corrcoef(known.scalars["time"], known.scalars["cost"])[0, 1], abs=1e-4
    )
    assert path.stat().st_size < 6000
    with pytest.raises(ValueError, match="is a summary, which has no draws"):
        fh.load(path)


def test_bad_paths_and_words_are_refused(known, tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        fh.load(tmp_path / "none.nc")
    known.groups["constant_data"].to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match="is not a posterior saved by fairhand"):
        fh.load(tmp_path / "other.nc")


def test_the_reader_is_told_how(known):
    shown = repr(known)
    assert shown.startswith("Posterior of ConditionalLogit by nuts, 200 draws\nTwo chains, made up.\n")
    assert "First chunk with compilation 2.0 s, the rest 1.0 s." in shown
