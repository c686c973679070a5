"""The lists of the package are read fast, and say what they say to the reader of settings, which refuses a key twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbids import config
from rtbids.deidentify import kept, listed, private


@pytest.mark.parametrize("name", [private.RULES, kept.LISTED])
def test_a_list_read_fast_is_the_list_that_the_reader_of_settings_finds_sound(name: str) -> None:
    read = config.load(Path(listed.__file__).with_name(name))
    assert len(read) > 1
    assert repr(listed.load(name)) == repr(read)  # the order and the types too
