"""What a contrast in words weighs."""

from __future__ import annotations

import pytest

from rtbids.analysis.contrasts import check, weights
from rtbids.errors import BadData, UsageFault

CONDITIONS = ("face", "scene", "house", "left-hand", "left", "2back", "0back", "go + nogo")
COLUMNS = (*CONDITIONS, "constant", "trans_x")


@pytest.mark.parametrize(
    ("contrast", "expected"),
    [
        ("face - scene", {"face": 1, "scene": -1}),
        ("face-scene", {"face": 1, "scene": -1}),
        ("face", {"face": 1}),
        ("-face", {"face": -1}),
        ("face > rest", {"face": 1}),
        ("rest > face", {"face": -1}),
        ("face - rest", {"face": 1}),
        ("face > scene+house", {"face": 1, "scene": -0.5, "house": -0.5}),
        ("face + face > 3 scene + house", {"face": 1, "scene": -0.75, "house": -0.25}),
        ("2 face - 0.5*scene", {"face": 2, "scene": -0.5}),
        ("left-hand - left", {"left-hand": 1, "left": -1}),
        ("2back > 0back", {"2back": 1, "0back": -1}),
        ("2 2back", {"2back": 2}),
        ("go + nogo - face", {"go + nogo": 1, "face": -1}),
        ("all > rest", dict.fromkeys(CONDITIONS, 1 / 8)),
        ({"face": 1, "house": -1, "scene": 0}, {"face": 1, "house": -1}),
        ({"trans_x": 2}, {"trans_x": 2}),
    ],
)
def test_words_become_weights(contrast, expected):
    assert weights(contrast, COLUMNS, CONDITIONS) == pytest.approx(expected)


def test_a_condition_of_the_name_rest_is_that_condition():
    assert weights("face > rest", ("face", "rest"), ("face", "rest")) == {"face": 1, "rest": -1}


@pytest.mark.parametrize("contrast", ["faces - scene", {"faces": 1.0}])
def test_an_unknown_name_is_named_with_the_nearest(contrast):
    with pytest.raises(BadData, match=r"names 'faces', which is no condition; did you mean 'face'\?"):
        weights(contrast, COLUMNS, CONDITIONS)


@pytest.mark.parametrize(
    ("contrast", "said"),
    [
        ("", "ends before a name"),
        ("face -", "ends before a name"),
        ("face > ", "ends before a name"),
        ("face - - house", "expected a name before '-' in the contrast 'face - - house'"),
        ("face +- house", "expected a name before '-'"),
        ("face - > house", "expected a name before '>'"),
        ("> face", "is like"),
        ("face > scene > house", "is like"),
        ("face scene", "expected . or - or >"),
        ("face 2", "names '2'"),
        ("face - face", "compares nothing"),
        ("rest", "compares nothing"),
        ({}, "compares nothing"),
        ("face > -scene", "is a mean"),
        ("face > scene - house", "is a mean"),
    ],
)
def test_what_is_no_contrast_is_refused(contrast, said):
    with pytest.raises(BadData if said.startswith(("names", "compares")) else UsageFault, match=said):
        weights(contrast, COLUMNS, CONDITIONS)


@pytest.mark.parametrize(
    "text",
    ["regulate >> rest", "regulate>>rest", "a > b > c", "a >", "> a", "a - - b", "a > -b", "CS+ > > CS-", "a + > b"],
)
def test_what_is_no_contrast_whatever_the_conditions_are_called_is_known_without_them(text):
    with pytest.raises(UsageFault):
        check(text)


@pytest.mark.parametrize(
    "text", ["CS+ > CS-", "CS+>rest", "2 CS- - CS+", "left hand > rest", "0.5*a - b", "go->stop > rest", "-a"]
)
def test_a_contrast_of_names_that_are_not_known_yet_passes(text):
    check(text)


def test_a_known_name_may_hold_what_no_other_may():
    check("a > > b > rest", ["a > > b"])
