"""What people are told, on standard error: warnings, a log without identifiers, and how a run is in one line."""

from __future__ import annotations

import atexit
import json
import logging
import logging.handlers
import queue
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from rtbids.errors import cannot_write
from rtbids.plural import counted
from rtbids.run.one_line import printable
from rtbids.run.progress import Progress, Tally

PATIENCE = 2.0  # seconds for what is shown last
STEP = 10.0  # seconds between plain lines where there is no terminal
stderr = Console(stderr=True, highlight=False, soft_wrap=True)
logger = logging.getLogger("rtbids")
_quiet = False
_listener: logging.handlers.QueueListener | None = None
_SAID = "said"  # marks what the person at the terminal has been told already


class _ToPeople(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, _SAID, False):
            return
        style = "yellow" if record.levelno >= logging.WARNING else "dim"
        word = "warning: " if record.levelno >= logging.WARNING else ""
        stderr.print(Text(printable(f"{word}{record.getMessage()}"), style=style))


class _PlainLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {"time": record.created, "level": record.levelname.lower(), "message": record.getMessage()}
        return json.dumps(fields, ensure_ascii=False)


class Kept(logging.Handler):
    """Keeps the warnings of a command, for its report."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.messages) < 1000:
            self.messages.append(record.getMessage())


def set_up(*, verbose: bool, quiet: bool, log_file: str | None, log_json: bool) -> None:
    """Send what is logged to standard error and, where asked, to a file, as text or as JSON lines.

    A thread of its own writes it: a terminal that stands still must not hold up the run.
    """
    global _quiet  # noqa: PLW0603  one process, one console
    _quiet = quiet or (log_json and not log_file)  # JSON lines on standard error are for a program, and nothing else is
    logger.handlers.clear()
    logger.propagate = False
    warnings.filterwarnings("ignore", module=r"pydicom\.")  # it quotes what stands in headers
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    people: logging.Handler = _ToPeople()
    if log_json and not log_file:
        people = logging.StreamHandler()
        people.setFormatter(_JsonLines())
    people.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.WARNING)
    _listen(people, *([_file(log_file, log_json)] if log_file else ()))


def _listen(*handlers: logging.Handler) -> None:
    global _listener  # noqa: PLW0603
    flush()
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    logger.addHandler(logging.handlers.QueueHandler(lines))
    _listener = logging.handlers.QueueListener(lines, *handlers, respect_handler_level=True)
    _listener.start()
    atexit.register(flush)


def flush() -> None:
    """Write what is still to be written."""
    global _listener  # noqa: PLW0603
    if _listener is not None:
        _listener.stop()
        _listener = None


def log_end(message: str, *, is_error: bool = True) -> None:
    """Put what a command ended with into its log file; the person is told by whoever ends the command."""
    if not logger.handlers:  # it ended before the log was set up, and Python would print the message itself
        return
    logger.log(logging.ERROR if is_error else logging.INFO, message, extra={_SAID: True})
    flush()


def keep_warnings() -> Kept:
    """Keep the warnings from here on."""
    kept = Kept()
    logger.addHandler(kept)
    return kept


def say(message: str) -> None:
    """Tell the person at the terminal, unless he asked for quiet."""
    if not _quiet:
        stderr.print(Text(message))


def conclude(message: str) -> None:
    """Say how a command ended, to the person and in the log; there are no names in it."""
    logger.info("%s", message, extra={_SAID: True})
    say(message)


def is_quiet() -> bool:
    """Say whether the person asked for quiet."""
    return _quiet


def watching(source: str) -> Callable[[str], None]:
    """Return what says how a source is watched."""
    return lambda mode: say(f"watching {source}: {mode}")


@contextmanager
def beside(show: Callable[[threading.Event], None]) -> Iterator[None]:
    """Have a thread `show` something until the block ends, when its event is set; no terminal is waited for."""
    over = threading.Event()
    thread = threading.Thread(target=show, args=(over,), name="screen", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE)


def left_out(name: str, number: int, reason: str, hint: str | None = None) -> None:
    """Tell the person which file is left out and why; the log gets its number, for names of files may identify."""
    why = f"{reason}; {hint}" if hint else reason
    warn(f"{name} is left out: {why}", f"file {number} is left out: {why}")


def warn(message: str, logged: str) -> None:
    """Tell the person something with names in it; the log gets what is `logged` in its place."""
    logger.warning("%s", logged, extra={_SAID: True})
    if not _quiet:
        line = printable(f"warning: {message}").replace("\n", "\\n")  # names of files may hold line breaks
        stderr.print(Text(line, style="yellow"))


@contextmanager
def counting(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Show how far a command is, in a terminal as a bar, elsewhere as a line now and then; gives what counts one on."""
    from rich import progress as bars

    count = "" if total is None else f" of {total}"
    done, last = 0, time.monotonic()
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn(), bars.TimeRemainingColumn())
    with bars.Progress(*columns, console=stderr, transient=True, disable=_quiet or not stderr.is_terminal) as bar:
        task = bar.add_task(what, total=total)

        def advance() -> None:
            nonlocal done, last
            done += 1
            bar.advance(task)
            if not (_quiet or stderr.is_terminal) and time.monotonic() - last >= STEP:
                last = time.monotonic()
                stderr.print(Text(f"{what}: {done}{count}"))

        yield advance


def line(progress: Progress) -> str:
    """Return the state of a run in one line of some 80 characters."""
    if not progress.runs:
        return "waiting for the first volume"
    parts = [progress.run, counted(progress.volumes, "volume")]
    if progress.missing:
        parts.append(f"{progress.missing} missing")
    if progress.paused:
        parts.append("paused")
    tallies = list(progress.tallies)
    return "  ".join(parts + [_of_experiment(tally, named=len(tallies) > 1) for tally in tallies])


def _of_experiment(tally: Tally, *, named: bool) -> str:
    parts = [f"{tally.experiment}:" if named else "", "" if tally.state == "running" else tally.state]
    if isinstance(tally.value, int | float):
        parts.append(f"{tally.value:.4g}")
    if tally.latency is not None and tally.is_due:
        parts.append(f"{1000 * tally.latency:.0f} ms")
    if tally.displacement is not None:
        parts.append(f"moved {tally.displacement:.2f} mm")
    if tally.dvars is not None:
        parts.append(f"DVARS {tally.dvars:.1f} %")
    if tally.tsnr is not None:
        parts.append(f"tSNR {tally.tsnr:.0f}")
    if tally.good_minutes is not None:
        parts.append(good_data(tally.good_minutes, tally.minutes_to_criterion))
    for count, word in ((tally.spikes, "spike"), (tally.alternates, "alternate"), (tally.late, "late")):
        if count:
            parts.append(counted(count, word, word if word == "late" else ""))
    if tally.expects_miss:
        parts.append("next expected late")
    return "  ".join(part for part in parts if part)


def good_data(minutes: float, left: float | None) -> str:
    """Return ``4.2 min good, 9 min to go``."""
    to_go = "" if left is None else ", enough" if left == 0 else f", {left:.0f} min to go" if left >= 1 else ", < 1 min to go"
    return f"{minutes:.1f} min good{to_go}"


def _file(path: str, as_json: bool) -> logging.Handler:
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from None
    plain = _PlainLines("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(_JsonLines() if as_json else plain)
    return handler
