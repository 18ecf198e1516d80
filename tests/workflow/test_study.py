"""A study says what is wrong with it in one sentence: the file, the key, the cure."""

import re
from pathlib import Path

import numpy as np
import pytest

from fairhand.models.choice import ChoiceData
from fairhand.workflow.market import Setting, settle
from fairhand.workflow.study import Study, StudyError, load_study, packaged_study

PACKAGED = packaged_study()


def load(*settings: str, path: Path = PACKAGED) -> Study:
    return load_study(path, settings)[0]


def refused(*settings: str, path: Path = PACKAGED) -> str:
    with pytest.raises(StudyError) as problem:
        load(*settings, path=path)
    return str(problem.value)


def unsettled(*settings: str) -> str:
    with pytest.raises(StudyError) as problem:
        settle(load(*settings), PACKAGED.parent)
    return str(problem.value)


@pytest.fixture(scope="module")
def setting() -> Setting:
    return settle(load(), PACKAGED.parent)


def test_the_packaged_study_is_read(setting):
    assert setting.study.seed == 1987
    assert setting.goods == ("air", "train", "bus")
    assert setting.capacity.tolist() == [40, 36, 24]
    assert len(setting.groups) == 6
    assert setting.groups[1] == "low income, in company"


def test_an_override_wins_and_is_what_is_written_down():
    study, raw = load_study(PACKAGED, ("market.capacity.air=50", "title=Other seats", "seed=3", "fit.method=map"))
    assert study.market.capacity == {"air": 50, "train": 36, "bus": 24}
    assert (study.title, study.seed, study.fit.method) == ("Other seats", 3, "map")
    assert (raw["market"]["capacity"]["air"], raw["fit"]["method"]) == (50, "map")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("market.capacty.air=3", "unknown key `market.capacty`; did you mean `capacity`?"),
        ("propagate.drawz=3", "unknown key `propagate.drawz`; did you mean `draws`?"),
        ("rule.colour='red'", "unknown key `rule.colour`; known are eps, oversubscription."),
        (
            "market.groups=[{column='hinc', cutz=[1], names=['a', 'b']}]",
            "unknown key `market.groups.0.cutz`; did you mean `cuts`?",
        ),
        ("market.capacity.air=-1", "`market.capacity.air`: Input should be greater than or equal to 0, got -1."),
        ("market.capacity.air=nan", "`market.capacity.air`: "),
        ("market.capacity.air=inf", "`market.capacity.air`: "),
        ("market.capacity.air=many", "`market.capacity.air`: Input should be a valid number"),
        ("market.travellers=1", "`market.travellers`: Input should be greater than or equal to 2, got 1."),
        ("rule.oversubscription=0", "`rule.oversubscription`: "),
        ("tune.rate=inf", "`tune.rate`: "),
        ("seed=1.5", "`seed`: Input should be a valid integer"),
        ("fit.method=svi", "`fit.method`: Input should be 'auto', 'nuts' or 'map', got 'svi'."),
        ("market=3", "`market`: "),
    ],
)
def test_a_bad_value_is_refused_by_file_and_key(setting, words):
    said = refused(setting)
    assert said.startswith(f"{PACKAGED}: {words}")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("{column='hinc', names=['a', 'b', 'c']}", "either `terciles = true` or `cuts`"),
        ("{column='hinc', terciles=true, cuts=[1], names=['a', 'b', 'c']}", "either `terciles = true` or `cuts`"),
        ("{column='hinc', terciles=true, names=['a', 'b']}", "`names` needs 3 names, got 2"),
        ("{column='hinc', cuts=[1, 2], names=['a', 'b']}", "`names` needs 3 names, got 2"),
        ("{column='hinc', cuts=[2, 1], names=['a', 'b', 'c']}", "`cuts` must rise"),
        ("{column='hinc', cuts=[nan], names=['a', 'b']}", "`market.groups.0.cuts.0`: Input should be a finite number"),
        ("{column='hinc', cuts=[1], names=['a', 'a']}", "`names` has a name twice"),
    ],
)
def test_a_bad_group_is_refused(group, words):
    assert words in refused(f"market.groups=[{group}]")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("market.capacity.air", "write key=value, e.g. --set market.capacity.air=50."),
        ("=3", "write key=value"),
        ("seed.deep=3", "`seed` is a value, not a table."),
    ],
)
def test_a_bad_override_is_refused(setting, words):
    assert refused(setting) == f"--set {setting}: {words}" or words in refused(setting)


def test_several_faults_are_told_at_once():
    said = refused("seed=x", "rule.eps=2")
    assert "`seed`" in said
    assert "`rule.eps`" in said


@pytest.fixture
def written(tmp_path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "study.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = ", "is not valid TOML: Invalid value (at end of document)."),
        ("a = 1\na = 2\n", "is not valid TOML: Cannot overwrite a value (at line 2"),
        (b"title = '\xff'", "cannot be read"),
        ("title = 'x'\n", "key `data` is missing; add it."),
    ],
)
def test_a_bad_file_is_refused(written, text, words):
    path = written(text)
    said = refused(path=path)
    assert said.startswith(f"{path}: {words}")
    assert "\n" not in said


def test_a_missing_key_is_named(written):
    text = PACKAGED.read_text().replace('outside = "car"\n', "")
    assert refused(path=written(text)).endswith("key `market.outside` is missing; add it.")


def test_a_missing_study_says_how_to_get_one(tmp_path):
    assert refused(path=tmp_path / "none.toml").endswith("no such study; `fairhand init` writes one to start from.")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["market.outside=walk"], "`market.outside` is 'walk', but the data have air, train, bus, car."),
        (["market.capacity={air=4, train=4}"], "missing bus."),
        (["market.capacity.boat=4"], "unknown boat."),
        (["market.capacity={air=4, train=4, car=3}"], "missing bus; unknown car."),
        (["data.file=none.csv"], f"there is no file {PACKAGED.parent / 'none.csv'}"),
        (["data.file=package:none.csv"], "there is no file"),
        (["market.groups=[{column='age', cuts=[1], names=['a', 'b']}]"], "`market.groups.0.column` is 'age'; add it"),
        (
            ["market.groups=[{column='psize', cuts=[1.5, 99], names=['alone', 'in company', 'in crowds']}]"],
            "nobody in the data is in crowds. Merge groups or move the cuts.",
        ),
    ],
)
def test_names_that_do_not_fit_the_data_are_refused(settings, words):
    said = unsettled(*settings)
    assert words in said
    assert "\n" not in said


def test_everybody_is_one_group_where_none_is_asked_for():
    alone = settle(load("market.groups=[]"), PACKAGED.parent)
    assert alone.groups == ("everybody",)
    assert set(alone.kind) == {0}


def test_cuts_split_where_they_say(setting):
    data = setting.data
    size = data.column("psize")[np.arange(data.num_situations), data.chosen]
    np.testing.assert_array_equal(setting.kind % 2, size > 1.5)


def test_terciles_hold_a_third_of_the_population_each(setting):
    """By the weight of each person in the population: the sample is choice based."""
    data, shares = setting.data, setting.study.model.population_shares
    weight = np.array([shares[a] / data.shares[a] for a in data.alternatives])[data.chosen]
    held = np.bincount(setting.kind // 2, weight) / weight.sum()
    income = data.column("hinc")[:, 0]
    steps = np.array([weight[income == x].sum() for x in np.unique(income)]) / weight.sum()
    np.testing.assert_allclose(held, 1 / 3, atol=steps.max())  # ties in income stay together
    for low, high in ((0, 1), (1, 2)):
        assert income[setting.kind // 2 == low].max() < income[setting.kind // 2 == high].min()


def test_slack_everywhere_leaves_nothing_to_ration(setting):
    published = np.array([-0.0155, -0.0961, 0.0133, 5.207, 3.869, 3.163])  # which predict the shares in the sample
    worlds = setting.model.world(
        np.stack([published, published]), setting.data, supply=setting.supply, new=400, outside="car"
    )
    wanted = 400 * np.array([0.14, 0.13, 0.09])  # and, corrected, about those in the population
    np.testing.assert_allclose(setting.demand(worlds), wanted, rtol=0.15)
    plenty = settle(load("market.capacity={air=90, train=80, bus=60}"), PACKAGED.parent)
    with pytest.raises(StudyError, match=r"slack everywhere \(expected demand: air \d+ for 90 seats") as problem:
        plenty.refuse_slack(worlds)
    assert re.search(r"Lower a capacity, or raise `market.travellers`\.$", str(problem.value))
    settle(load("market.capacity={air=90, train=80, bus=30}"), PACKAGED.parent).refuse_slack(worlds)


def test_data_lie_beside_the_study_or_in_the_package(tmp_path):
    assert isinstance(settle(load(), tmp_path).data, ChoiceData)
    assert load("data.file=mine.csv").data_path(tmp_path) == tmp_path / "mine.csv"
    assert load(f"data.file='{tmp_path}/a.csv'").data_path(Path("elsewhere")) == tmp_path / "a.csv"
