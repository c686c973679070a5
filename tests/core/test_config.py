"""Settings from files and from the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest

from rtbids import config
from rtbids.errors import InputMissing, UsageFault


class Kernel(Enum):
    GAUSS = "gauss"
    BOX = "box"


@dataclass(frozen=True)
class Smoothing:
    fwhm: float = field(metadata={"help": "full width at half maximum", "unit": "mm"})
    kernel: Kernel = Kernel.GAUSS


@dataclass(frozen=True)
class Settings:
    deadline: float | None = None
    alternate: Literal["last", "none"] | float = "last"
    order: int = 1
    enabled: bool = True
    mask: Path | None = None
    regions: tuple[str, ...] = ()
    window: tuple[int, int] = (0, 0)
    weights: list[float] = field(default_factory=list)
    rois: dict[str, Path] = field(default_factory=dict)
    smoothing: Smoothing | None = None


@dataclass(frozen=True)
class Named:
    name: str
    more: Any = None


WHOLE = {
    "deadline": 1,
    "alternate": "none",
    "order": 3,
    "enabled": False,
    "mask": "brain.nii",
    "regions": ["left", "right"],
    "window": [2, 5],
    "weights": [1, 0.5],
    "rois": {"target": "roi/target.nii.gz"},
    "smoothing": {"fwhm": 6, "kernel": "box"},
}


def test_every_kind_of_field_is_read() -> None:
    assert config.read(Settings, WHOLE, "config.yaml") == Settings(
        deadline=1.0,
        alternate="none",
        order=3,
        enabled=False,
        mask=Path("brain.nii"),
        regions=("left", "right"),
        window=(2, 5),
        weights=[1.0, 0.5],
        rois={"target": Path("roi/target.nii.gz")},
        smoothing=Smoothing(6.0, Kernel.BOX),
    )


def test_a_whole_number_given_for_a_float_becomes_one() -> None:
    assert type(config.read(Smoothing, {"fwhm": 6}, "config.yaml").fwhm) is float


def test_an_empty_mapping_gives_the_defaults() -> None:
    assert config.read(Settings, {}, "config.yaml") == Settings()


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"deadlin": 1}, r"config.yaml: unknown key 'deadlin', did you mean 'deadline'\?$"),
        ({"smoothing": {"fwmh": 6}}, r"config.yaml: unknown key 'smoothing.fwmh', did you mean 'smoothing.fwhm'\?$"),
        ({"smoothing": {"fwhm": 6, "zzz": 1}}, r"unknown key 'smoothing.zzz', expected fwhm or kernel$"),
        ({"smoothing": {}}, r"config.yaml: missing key 'smoothing.fwhm'$"),
        ({"deadline": "soon"}, r"config.yaml: deadline: expected a number or null, found 'soon'$"),
        ({"alternate": "first"}, r"alternate: expected 'last' or 'none' or a number, found 'first'$"),
        ({"order": True}, r"config.yaml: order: expected a whole number, found true$"),
        ({"order": 1.5}, r"order: expected a whole number, found 1.5$"),
        ({"order": None}, r"order: expected a whole number, found nothing$"),
        ({"deadline": True}, r"deadline: expected a number or null, found true$"),
        ({"enabled": 1}, r"enabled: expected true or false, found 1$"),
        ({"regions": "left"}, r"regions: expected a list, found 'left'$"),
        ({"regions": ["left", 2]}, r"regions\[1\]: expected text, found 2$"),
        ({"window": [1, 2, 3]}, r"window: expected a list of 2, found a list of 3$"),
        ({"window": 3}, r"window: expected a list of 2, found 3$"),
        ({"weights": {}}, r"weights: expected a list, found keys and values$"),
        ({"rois": ["a"]}, r"rois: expected keys and values, found a list$"),
        ({"rois": {"target": 3}}, r"rois.target: expected a path, found 3$"),
        ({"smoothing": 6}, r"smoothing: expected keys and values or null, found 6$"),
        ({"smoothing": {"fwhm": 6, "kernel": "sinc"}}, r"smoothing.kernel: expected 'gauss' or 'box', found 'sinc'$"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_place(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageFault, match=message):
        config.read(Settings, mapping, "config.yaml")


def test_a_missing_required_key_is_named() -> None:
    with pytest.raises(UsageFault, match=r"^experiment.toml: missing key 'name'$"):
        config.read(Named, {}, "experiment.toml")


def test_a_value_that_the_dataclass_refuses_is_a_usage_fault() -> None:
    @dataclass(frozen=True)
    class Positive:
        order: int

        def __post_init__(self) -> None:
            if self.order < 1:
                raise ValueError("order: expected 1 or more, found 0")

    with pytest.raises(UsageFault, match=r"^config.yaml: order: expected 1 or more, found 0$"):
        config.read(Positive, {"order": 0}, "config.yaml")


def test_yaml_and_toml_say_the_same(tmp_path: Path) -> None:
    yaml, toml = tmp_path / "config.yaml", tmp_path / "config.toml"
    yaml.write_text("deadline: 1.5\nrois:\n  target: roi.nii\nregions: [left, right]\n")
    toml.write_text('deadline = 1.5\nregions = ["left", "right"]\n[rois]\ntarget = "roi.nii"\n')
    assert (
        config.load(yaml) == config.load(toml) == {"deadline": 1.5, "rois": {"target": "roi.nii"}, "regions": ["left", "right"]}
    )


def test_an_empty_file_is_an_empty_mapping(tmp_path: Path) -> None:
    empty = tmp_path / "config.yaml"
    empty.write_text("# nothing yet\n")
    assert config.load(empty) == {}


def test_a_number_in_scientific_notation_is_a_number(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("a: 1e-3\nb: 2E5\nc: 1e\n")
    assert config.load(file) == {"a": 0.001, "b": 200000.0, "c": "1e"}


def test_a_date_is_text_as_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("a: 2026-01-02\nb: 2026-13-45\n")
    assert config.load(file) == {"a": "2026-01-02", "b": "2026-13-45"}


def test_a_file_that_is_not_there_is_input_missing(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match=r"config.yaml: no such file"):
        config.load(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("config.yaml", b"deadline: 1\nrois: [a, b\nother: 2\n", r"config.yaml, line 3: "),
        ("config.yaml", b"a: 1\nb: \x07\n", r"config.yaml, line 2: "),
        ("config.yaml", b"a: !!python/object:os.system {}\n", r"config.yaml, line 1: "),
        ("config.toml", b"deadline = 1\nrois = = 2\n", r"config.toml, line 2: "),
        ("config.toml", b"deadline =", r"config.toml, "),
        ("config.yaml", b"- a\n- b\n", r"config.yaml, line 1: expected keys and values, found a list$"),
        ("config.yaml", b"a: !!int x\n", r"config.yaml: invalid literal"),
        ("config.yaml", b"\xff\xfe", r"config.yaml, byte 0: expected UTF-8 text$"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, name: str, content: bytes, place: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(UsageFault, match=place) as caught:
        config.load(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("alternate: 1\n\nalternate: 7\n", r"config.yaml, line 3: the key 'alternate' is in line 1 too$"),
        ("rois:\n  a: 1\n  b: 2\n  'a': 3\n", r"config.yaml, line 4: the key 'a' is in line 2 too$"),
        ("rois: {a: 1, a: 2}\n", r"config.yaml, line 1: the key 'a' comes twice$"),
    ],
    ids=["top", "nested and quoted", "one line"],
)
def test_a_key_that_comes_twice_is_refused_with_both_lines(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(content)
    with pytest.raises(UsageFault, match=said):
        config.load(file)


def test_a_key_may_override_one_that_is_merged_in(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("first: &first {a: 1, b: 2}\nsecond: {<<: *first, b: 3}\n")
    assert config.load(file) == {"first": {"a": 1, "b": 2}, "second": {"a": 1, "b": 3}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=3", 3),
        ("a.b=0.5", 0.5),
        ("a.b=left", "left"),
        ("a.b=[1, 2]", [1, 2]),
        ("a.b=", None),
        ("a.b=x=y", "x=y"),
        ("a.b=yes", True),
    ],
)
def test_a_setting_of_the_command_line_is_read_as_yaml(text: str, value: object) -> None:
    before = {"a": {"b": 1, "c": 2}, "d": 3}
    assert config.assign(before, text) == {"a": {"b": value, "c": 2}, "d": 3}
    assert before == {"a": {"b": 1, "c": 2}, "d": 3}


def test_a_setting_makes_the_section_that_it_stands_in() -> None:
    assert config.assign({}, "settings.gain=2") == {"settings": {"gain": 2}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gain", "expected key=value, found 'gain'"),
        ("=3", "expected key=value, found '=3'"),
        ("a..b=3", "expected key=value"),
        ("d.e=3", "d.e: d is 3 and has no keys"),
        ("a=[1", r"a: cannot read the value '\[1'"),
    ],
)
def test_a_setting_that_cannot_be_made_says_why(text: str, message: str) -> None:
    with pytest.raises(UsageFault, match=message):
        config.assign({"d": 3}, text)
