"""Words on a command line that stand for a time, an amount of bytes, or what becomes of files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import click


@dataclass(frozen=True)
class Cleanup:
    """What becomes of raw files that have arrived."""

    raw: Literal["keep", "delete", "move"] = "keep"
    archive: Path | None = None


class Span(click.ParamType[float]):
    """A time such as ``30d``, ``12h``, ``90m`` or ``45s``, in seconds."""

    name = "span"
    seconds: ClassVar = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        number, unit = value[:-1], self.seconds.get(value[-1:].lower())
        if unit is None or not number.isdigit():
            self.fail(f"expected a time such as 30d, 12h or 90m, found {value!r}", param, ctx)
        return int(number) * unit


class Bytes(click.ParamType[int]):
    """An amount such as ``5G``, ``500M`` or ``0``, in bytes."""

    name = "bytes"
    units: ClassVar = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = value.lower().removesuffix("b")
        number = text.rstrip("kmgt")
        if not number.isdigit() or (unit := self.units.get(text[len(number) :])) is None:
            self.fail(f"expected an amount such as 5G or 500M, found {value!r}", param, ctx)
        return int(number) * unit


class CleanupType(click.ParamType[Any]):
    """``keep``, ``delete`` or ``move:DIR``."""

    name = "cleanup"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Cleanup:
        what, colon, folder = str(value).partition(":")
        if what == "move" and folder:
            return Cleanup("move", Path(folder))
        if colon or what not in ("keep", "delete"):
            self.fail(f"expected keep, delete or move:DIR, found {value!r}", param, ctx)
        return Cleanup("delete" if what == "delete" else "keep")
