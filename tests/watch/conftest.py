"""Receivers that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from reception import Reception


@pytest.fixture
def receive(tmp_path: Path) -> Iterator[Callable[..., Reception]]:
    begun: list[Reception] = []

    def begin(**options: Any) -> Reception:
        begun.append(Reception(options.pop("spool", tmp_path / "spool"), **options))
        return begun[-1]

    yield begin
    for reception in begun:
        reception.stop()
