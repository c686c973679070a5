"""The bounded pool of workers of one process, from finished batches to destinations."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from rtbids.errors import CannotWrite, ConnectionLost
from rtbids.send import anew, lines, metrics, owners
from rtbids.send.apart import Apart
from rtbids.send.cleaning import Cleaner, Deidentify
from rtbids.send.cleanup import Cleanup
from rtbids.send.database import DatabaseLost
from rtbids.send.delivering import Carrier
from rtbids.send.destinations import Destination
from rtbids.send.found import Found
from rtbids.send.left import Stillness, can_go_on
from rtbids.send.outbox import Outbox, Tally
from rtbids.send.schema import check_key
from rtbids.send.settings import Settings
from rtbids.send.states import State
from rtbids.send.taking_in import Intake
from rtbids.send.wiping import Wiper, wipe
from rtbids.send.work import LOOK, Work

logger = logging.getLogger("rtbids")
PARTING = 0.5
AS_IS = "as they are"
FAREWELL = 5.0  # seconds that workers are waited for at the end; what a destination then still holds is asked for next time


@dataclass(frozen=True)
class Outcome:
    """What this process did with images while `run` was at work, and what is left for another time."""

    sent: int
    errors: int
    waiting: int
    down: tuple[str, ...]  # why, a line for each destination that does not answer
    full: str | None = None  # what there was no room for at the end


def run(
    outbox: Outbox,
    batches: Iterator[Found],
    destinations: Sequence[Destination],
    clean: Deidentify | None,
    settings: Settings,
    stop: threading.Event,
) -> Outcome:
    """Take in batches, de-identify and send their images, until `stop`, or until `batches` ends and all is done.

    `clean` is None where images go out as they are. Whoever stops finishes within seconds what is under way; whatever is not
    finished goes on at the next start, also after a kill.

    Raises
    ------
    CannotWrite
        The outbox cannot be used any more.
    RtbidsError
        Whatever `batches` or `clean` raised that is no fault of one image.
    """
    if clean is None:
        logger.warning("images are not de-identified: they go out as they are")
    work = Work(outbox)
    rules = AS_IS if clean is None else f"de-identified {settings.rules}"
    if settings.key and clean is not None:
        check_key(outbox.database, outbox.secret, settings.key)
    outbox.tally = Tally()
    with _entered(outbox, destinations, rules, stop) as numbers, metrics.served(outbox, settings.metrics), _watched(stop, work):
        steps = _steps(outbox, batches, list(zip(destinations, numbers, strict=True)), clean, settings, work)
        threads = [threading.Thread(target=work.steadily, args=step, name=step[0], daemon=True) for step in steps]
        for thread in threads:
            thread.start()
        _until_over(outbox, numbers, settings, work)
        full = work.full
        work.end()
        _join(threads)
        work.close()
        with suppress(CannotWrite, ConnectionLost):  # then it is done at the next start
            wipe(outbox)
    if work.failure is not None:
        raise work.failure
    Cleanup(outbox, settings).mark_failed()
    return _outcome(outbox, str(full) if full else None)


def _steps(
    outbox: Outbox,
    batches: Iterator[Found],
    destinations: Sequence[tuple[Destination, int]],
    clean: Deidentify | None,
    settings: Settings,
    work: Work,
) -> Iterator[tuple[str, Callable[[], bool], Callable[[], None]]]:
    yield "intake", Intake(outbox, batches, settings, work).step, _nothing
    yield "beat", lambda: _beat(outbox, [number for _, number in destinations], work), _nothing
    yield "cleanup", Cleanup(outbox, settings).step, _nothing
    yield "wiping", Wiper(outbox).step, _nothing
    for number in range(max(1, settings.workers)):
        yield f"cleaner {number}", Cleaner(outbox, _own(clean, settings, work), settings, work).step, _nothing
    for destination, number in destinations:
        for connection in range(max(1, destination.parallel)):
            carrier = Carrier(outbox, destination, number, settings, work)
            yield f"{destination.url} {connection}", carrier.step, carrier.close


def _nothing() -> None:
    """What is closed at the end of who holds nothing open."""


def _own(clean: Deidentify | None, settings: Settings, work: Work) -> Deidentify | None:
    """Return what de-identifies for one worker, in a process of its own where that is wanted."""
    if clean is None or not settings.processes:
        return clean
    apart = Apart(clean)
    work.at_end(apart.close)
    try:
        apart.start()
    except Exception as error:  # whatever multiprocessing says of what cannot be handed over, such as an open connection
        logger.warning("de-identification has no processes of its own here (%s)", type(error).__name__)
        return clean
    return apart


@contextmanager
def _entered(outbox: Outbox, destinations: Sequence[Destination], rules: str, stop: threading.Event) -> Iterator[list[int]]:
    """Be one of the processes that work on the outbox."""
    outbox.owner = _joined(outbox, rules, stop)
    try:
        numbers = lines.serve(outbox, destinations, outbox.owner.alone)
        lines.due_soon(outbox)
        anew.renew(outbox)
        owners.beat(outbox.database, outbox.owner, outbox.clock.now(), None)
        yield numbers
    finally:
        with suppress(CannotWrite, ConnectionLost):  # then it is known to be gone all the same
            owners.leave(outbox.database, outbox.owner)
        outbox.owner = None


def _joined(outbox: Outbox, rules: str, stop: threading.Event) -> owners.Owner:
    """Join those at work; one of another machine that works by other rules is watched for a minute, for it may be gone."""
    watched: owners.Watched = {}
    told = False
    while True:
        try:
            return owners.enter(outbox.database, outbox.clock.now(), rules, watched)
        except owners.OtherRules as error:
            if error.certain:
                raise
            if not told:
                logger.warning("%s; waiting to see whether it is still there", error)
            told = True
            if stop.wait(LOOK):
                raise


@contextmanager
def _watched(stop: threading.Event, work: Work) -> Iterator[None]:
    """End the work when `stop` is set."""

    def watch() -> None:
        while not work.over:
            if stop.wait(LOOK):
                work.end()

    thread = threading.Thread(target=watch, name="stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        work.end()


def _beat(outbox: Outbox, numbers: Sequence[int], work: Work) -> bool:
    _tend(outbox, numbers, work.paused)
    anew.renew(outbox)
    work.wait_for_news(owners.BEAT)
    return True


def _tend(outbox: Outbox, numbers: Sequence[int], paused: str | None) -> None:
    """Say that this process is there, and see to what those have left that are not."""
    if (owner := outbox.owner) is not None:
        alone = owner.alone
        if owners.beat(outbox.database, owner, outbox.clock.now(), paused):
            outbox.bell.ring()
        if owner.alone and not alone:
            lines.serve_alone(outbox, numbers)


def _until_over(outbox: Outbox, numbers: Sequence[int], settings: Settings, work: Work) -> None:
    """Return when the work was ended, or when the last batch was taken in and nothing is left that can go on."""
    still = Stillness()
    while not work.over:
        heard = outbox.bell.heard()
        if work.taken_in:
            with suppress(DatabaseLost):  # the workers say so, and wait
                if not can_go_on(outbox, numbers) or still.lasts(outbox, settings.patience):
                    return
        outbox.bell.wait(heard, LOOK)


def _join(threads: Sequence[threading.Thread]) -> None:
    """Wait for the workers; for those who watch, which may be in the midst of waiting themselves, not as long."""
    intake, *workers = threads
    until = time.monotonic() + FAREWELL
    for thread in workers:
        thread.join(max(0.0, until - time.monotonic()))
    intake.join(PARTING)


def _outcome(outbox: Outbox, full: str | None) -> Outcome:
    with outbox.database.reading() as transaction:
        waits = "SELECT count(*) FROM image WHERE state IN ('NEW', 'PROCESSING', 'DONEPROCESSING')"
        [[waiting]] = transaction.rows(waits)
        down = transaction.rows("SELECT url, reason FROM destination WHERE active = 1 AND since IS NOT NULL ORDER BY id")
    sent, errors = (outbox.tally[state] for state in (State.SENT, State.ERROR))
    return Outcome(sent, errors, int(waiting), tuple(f"{url}: {reason}" for url, reason in down), full)
