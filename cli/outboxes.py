"""What an outbox says when it is asked: how it stands, one batch, and the times; and what is done to it by hand."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from rtbids.cli import console
from rtbids.errors import UsageFault
from rtbids.send.outbox import Outbox
from rtbids.send.states import State

EVERY = 1.0  # seconds between two looks of --follow


def place(outbox: Path | None) -> Path:
    """Return the folder of the outbox: the one that was named, else the user's."""
    if outbox is not None:
        return outbox
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "rtbids" / "outbox"


def named(outbox: Path | None, database: str | None) -> str:
    """Return what a command must be told to mean this outbox too, to be copied; a password is not repeated.

    Examples
    --------
    >>> named(Path("ob 1"), None), named(None, "postgresql://me:secret@host/name"), named(None, None)
    (" --outbox 'ob 1'", ' --database URL', '')
    """
    has_password = database is not None and urlsplit(database).password is not None
    given = (("--outbox", outbox), ("--database", "URL" if has_password else database))
    return "".join(f" {option} {shlex.quote(str(value))}" for option, value in given if value is not None)


def _opened(outbox: Path | None, database: str | None) -> Outbox:
    return _told(Outbox.open(place(outbox), database, create=False), outbox, database)


def _asked(outbox: Path | None, database: str | None) -> Outbox:
    return _told(Outbox.look(place(outbox), database), outbox, database)


def _told(opened: Outbox, outbox: Path | None, database: str | None) -> Outbox:
    opened.named = named(outbox, database)
    return opened


def status(*, outbox: Path | None, database: str | None, as_json: bool, follow: bool, page: int, lines: int) -> None:
    """Print how the outbox stands; with `follow` again and again."""
    with _asked(outbox, database) as opened:
        if follow:
            _follow(opened, as_json, page, lines)
        else:
            _print_status(opened, as_json, page, lines)


def _follow(outbox: Outbox, as_json: bool, page: int, lines: int) -> None:
    if as_json or not sys.stdout.isatty():
        while True:
            _print_status(outbox, as_json, page, lines)
            sys.stdout.flush()
            time.sleep(EVERY)
    from rich.console import Console
    from rich.live import Live

    from rtbids.cli import outbox_tables

    screen = Console()
    with Live(console=screen, auto_refresh=False, screen=True) as view:
        while True:
            rows = max(1, min(lines, screen.height - outbox_tables.ABOVE))
            view.update(outbox_tables.status(outbox, page, rows, screen.width), refresh=True)
            time.sleep(EVERY)


def _print_status(outbox: Outbox, as_json: bool, page: int, lines: int) -> None:
    from rtbids.cli import outbox_tables

    if as_json:
        click.echo(json.dumps(outbox_tables.as_json(outbox, page, lines)))
    elif sys.stdout.isatty():
        from rich.console import Console

        screen = Console()
        screen.print(outbox_tables.status(outbox, page, lines, screen.width))
    else:
        for line in outbox_tables.plain(outbox, page, lines):
            click.echo(line)


def show(*, batch: int, outbox: Path | None, database: str | None, as_json: bool, only_errors: bool) -> None:
    """Print one batch, image by image."""
    from rtbids.cli import batch_lines

    with _asked(outbox, database) as opened:
        shown = opened.show(batch)
    images = [image for image in shown.images if image.state is State.ERROR or not only_errors]
    if as_json:
        click.echo(json.dumps(shown.as_json() | {"images": [image.as_json() for image in images]}))
        return
    is_seen = sys.stdout.isatty()
    width = shutil.get_terminal_size((batch_lines.WIDTH, 0)).columns if is_seen else batch_lines.WIDTH
    for line in batch_lines.batch(shown, images, width, with_names=is_seen):
        click.echo(line)


def retry(*, batch: int | None, image: int | None, everything: bool, outbox: Path | None, database: str | None) -> None:
    """Put images in ERROR back, and say how many."""
    if everything == (batch is not None):
        raise UsageFault("expected the number of a batch, or --all")
    with _opened(outbox, database) as opened:
        if batch is not None:
            opened.show(batch)  # or says that there is none
        count = opened.retry(batch, image, who=_user())
        working = opened.status(per_page=1).working
    then = "" if working else "; no sender is at work: they go when rtbids send is started"
    console.say(f"{count} image{'s' if count > 1 else ''} to be tried again{then}")


def dismiss(*, batch: int, image: int | None, outbox: Path | None, database: str | None) -> None:
    """Give up images in ERROR, and say how many."""
    with _opened(outbox, database) as opened:
        opened.show(batch)  # or says that there is none
        count = opened.dismiss(batch, image, who=_user())
    console.say(f"{count} image{'s' if count > 1 else ''} given up: no raw file was removed")


def retire(*, destination: str, outbox: Path | None, database: str | None) -> None:
    """Give up a destination, and say how many images it is that go there no more."""
    with _opened(outbox, database) as opened:
        count = opened.retire(destination, who=_user())
    console.say(f"{destination} given up: {count} image{' waits' if count == 1 else 's wait'} for it no more")


def _user() -> str:
    """Return who asks, for the log of what was done by hand."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container knows numbers only
        return f"user {os.getuid()}"


def purge(*, older_than: float, outbox: Path | None, database: str | None) -> None:
    """Remove old batches, and say how many."""
    with _opened(outbox, database) as opened:
        count = opened.purge(older_than)
    console.say(f"{count} batch{'es' if count != 1 else ''} removed")


def times(*, since: float | None, outbox: Path | None, database: str | None) -> None:
    """Print every change of state as a table."""
    with _asked(outbox, database) as opened:
        first = 0.0 if since is None else opened.clock.now() - since
        with opened.database.reading() as transaction:
            rows = transaction.rows(_TIMES, (first,))
    _write(["batch", "image", "destination", "time", "before", "after", "reason"])
    for row in rows:  # when the database is closed: who reads them may have gone, and that is no fault of it
        _write(list(row))


_TIMES = (
    "SELECT r.batch, r.image, t.url, r.at, r.before, r.after, r.reason FROM transition r"
    " JOIN batch b ON b.id = r.batch LEFT JOIN destination t ON t.id = r.destination WHERE b.added >= ? ORDER BY r.id"
)


def _write(fields: list[Any]) -> None:
    click.echo("\t".join("n/a" if field is None else _field(field) for field in fields))


def _field(value: Any) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value).replace("\t", " ").replace("\n", " ")
