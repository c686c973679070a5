"""``rtbids status --sources``: the scanners that are connected to this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import click

from rtbids.plural import counted
from rtbids.run.one_line import printable
from rtbids.stream.far import held


def show(*, as_json: bool) -> None:
    """Print the connected sources, one a line."""
    found = held.sources()
    for source in found:
        click.echo(json.dumps(source) if as_json else line(source, time.time()))
    if not found and not as_json:
        click.echo("no source is connected")


def line(source: Mapping[str, Any], now: float) -> str:
    """Return ``scanner  from mri1  up for 12 min  120 images, the last 1.2 s ago  round trip 14 ms``."""
    state = "up" if source["is_up"] else "down"
    parts = [
        str(source["name"]),
        f"from {source['from']}",
        f"{state} for {_span(now - float(source['up_or_down_since'] or now))}",
    ]
    last = f", the last {_span(now - float(source['last_came']))} ago" if source["last_came"] else ""
    parts.append(f"{counted(source['images'] or 0, 'image')}{last}")
    if source["round_trip"] is not None and source["is_up"]:
        parts.append(f"round trip {1000 * source['round_trip']:.0f} ms")
    parts += [counted(source["cuts"], "cut")] if source["cuts"] else []
    return printable("  ".join(parts))


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
