"""What on the command line is meant for which of several experiments."""

from __future__ import annotations

import pytest

from rtbids.errors import UsageFault
from rtbids.run.recipe import recipes
from rtbids.run.recipe.recipes import Wishes, addressed, distinct


@pytest.fixture
def folders(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "experiment.py").write_text("def feedback(volume, run): ...\n")
    return [str(tmp_path / "one"), str(tmp_path / "other")]


def test_a_setting_without_a_name_is_the_firsts(folders):
    one, other = recipes.read(folders, Wishes(["gain=2", "other.gain=3", "one.gain=4"]))
    assert (one.config.settings, other.config.settings) == ({"gain": 4}, {"gain": 3})


def test_a_key_of_the_config_may_be_meant_for_one(folders):
    one, other = recipes.read(folders, Wishes(["other.deadline=0.5", "settings.one.gain=1"]))
    assert (one.config.deadline, other.config.deadline) == (None, 0.5)
    assert one.config.settings == {"one": {"gain": 1}}


def test_an_option_without_a_name_is_for_all_and_the_last_word_counts(folders):
    one, other = recipes.read(folders, Wishes(overrides={"deadline": [(None, 1.0), ("other", 0.2)]}))
    assert (one.config.deadline, other.config.deadline) == (1.0, 0.2)


def test_the_same_experiment_twice_goes_by_two_names(folders):
    first, second = recipes.read([folders[0], folders[0]], Wishes(["one-2.gain=3"]))
    assert (first.name, second.name) == ("one", "one-2")
    assert (first.config.settings, second.config.settings) == ({}, {"gain": 3})


def test_names_that_are_taken_are_numbered_on():
    assert distinct(["a", "b", "a"], ["a", "a-2"]) == ["a-3", "b", "a-4"]


def test_a_name_that_no_experiment_has_is_an_error_that_names_the_nearest(folders):
    with pytest.raises(UsageFault, match="--deadline othr=…") as caught:
        recipes.read(folders, Wishes(overrides={"deadline": [("othr", 1.0)]}))
    assert caught.value.hint is not None
    assert "did you mean 'other'" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one=a.tsv", ("one", "a.tsv")),
        ("one=udp://h:1", ("one", "udp://h:1")),
        ("a.tsv", (None, "a.tsv")),
        ("./x=y.tsv", (None, "./x=y.tsv")),
        ("-", (None, "-")),
        ("lsl:name", (None, "lsl:name")),
    ],
)
def test_a_place_may_be_one_experiments(text, expected):
    assert addressed(text, ["one"], "--feedback") == expected


def test_a_place_of_an_unknown_experiment_is_not_taken_for_a_file():
    with pytest.raises(UsageFault, match="--feedback two=…"):
        addressed("two=a.tsv", ["one"], "--feedback")
