"""Deliveries: one connection to one destination, and what becomes of what it carries."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from rtbids.clock import Clock
from rtbids.dicomnet import MayNotQuery, NotWanted
from rtbids.errors import ConnectionLost, RtbidsError, UsageFault
from rtbids.send import lines, steps
from rtbids.send.anew import LOST
from rtbids.send.claims import Waiting, claim_deliveries, release
from rtbids.send.database import DatabaseLost
from rtbids.send.destinations import Connection, Destination, Failure, Item, NoAnswer, delivered
from rtbids.send.settings import Settings
from rtbids.send.work import Stopping, Work

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

logger = logging.getLogger("rtbids")
IDLE = 5.0  # seconds after which a connection that carries nothing is closed
_TOGETHER = 500  # images in a transaction


class Carrier:
    """One thread's connection to a destination, opened when there is something to carry."""

    def __init__(self, outbox: Outbox, destination: Destination, number: int, settings: Settings, work: Work) -> None:
        self._outbox = outbox
        self._destination = destination
        self._number = number
        self._settings = settings
        self._work = work
        self._stack = ExitStack()
        self._connection: Connection | None = None
        self._used = 0.0
        self._held: dict[int, Waiting] = {}

    def step(self) -> bool:
        """Carry what one claim holds; say whether there was anything."""
        self._give_back()
        if self._is_behind():
            return False
        found = claim_deliveries(self._outbox, self._number, self._settings.group, self._destination.whole)
        if not found:
            self._close_idle()
            return False
        self._held = {each.image: each for each in found}
        try:
            self._carry_or_part(found)
        except DatabaseLost:
            raise
        except _Behind:
            logger.warning("%s: this rtbids send was silent for so long that it looks anew who goes on", self._destination.url)
        except (ConnectionLost, UsageFault) as error:
            self._down(error)
        except _Odd as error:  # of who connects
            self._down(ConnectionLost(f"{self._destination.url}: an unexpected error ({error}): please report this"))
        finally:
            with suppress(RtbidsError):
                self._give_back()
        return True

    def _carry_or_part(self, found: Sequence[Waiting]) -> None:
        """Carry images together; where one of them is like no other, each by itself."""
        connection = self._open()
        try:
            self._carry(connection, found)
        except _Odd as error:
            self.close()
            left = [self._held[each.image] for each in found if each.image in self._held]
            if len(found) > 1 and not self._destination.whole:
                for each in left:
                    self._carry_or_part([each])
                return
            logger.warning("%s: an unexpected error (%s) with %d images", self._destination.url, error, len(left))
            failure = Failure(f"it could not be sent, by an unexpected error ({error}): please report this", permanent=True)
            self._answered([(each, failure) for each in left])

    def close(self) -> None:
        """Close the connection; a link that is broken says nothing more."""
        self._connection = None
        with suppress(Exception):  # whatever a broken link says
            self._stack.close()

    def _open(self) -> Connection:
        if self._connection is None:
            try:
                with _told_apart():
                    self._connection = self._stack.enter_context(self._destination.open())
            except BaseException:
                self._give_back()  # nothing is under way
                raise
        return self._connection

    def _is_behind(self) -> bool:
        return self._outbox.owner is not None and self._outbox.owner.is_behind

    def _close_idle(self) -> None:
        if self._connection is not None and self._outbox.clock.now() - self._used > IDLE:
            self.close()

    def _carry(self, connection: Connection, found: Sequence[Waiting]) -> None:
        found = self._not_there(connection, self._intact(found))
        by_item = {each.item: each for each in found}
        answers: list[steps.Answer] = []
        guard = _Guard(connection, self._work, self._is_behind)
        try:
            for item, failure in delivered(
                self._destination, guard, list(by_item), _GuardClock(self._outbox.clock, self._work)
            ):
                answers.append((by_item[item], failure))
        finally:
            self._under_way(guard.begun)
            self._answered(answers)
        self._used = self._outbox.clock.now()
        if answers and all(failure is not None and not failure.permanent for _, failure in answers):
            self._down(ConnectionLost(str(answers[0][1] and answers[0][1].reason)))
        else:
            lines.up(self._outbox, self._number)

    def _intact(self, found: Sequence[Waiting]) -> list[Waiting]:
        """Leave out images whose file is not what was written: they would arrive as something else."""
        lost = [each for each in found if not _is_intact(each)]
        self._answered([(each, Failure(LOST, permanent=True)) for each in lost])
        return [each for each in found if each.image in self._held]

    def _not_there(self, connection: Connection, found: Sequence[Waiting]) -> list[Waiting]:
        """Ask for images that may have arrived before the work was broken off; return those that have not."""
        if not (asked := [each for each in found if each.under_way]):
            return list(found)
        try:
            with _told_apart():
                there = connection.present([each.item for each in asked])
        except NoAnswer:
            return list(found)  # the same image again does no harm
        except MayNotQuery:
            if self._destination.verify == "query":
                raise
            return list(found)
        arrived = [each for each in asked if each.item.instance in there]
        if self._destination.whole and len(arrived) < len(found):
            return list(found)
        self._answered([(each, None) for each in arrived])
        return [each for each in found if each.image in self._held]

    def _answered(self, answers: Sequence[steps.Answer]) -> None:
        for start in range(0, len(answers), _TOGETHER):
            some = answers[start : start + _TOGETHER]
            steps.answered(self._outbox, self._number, some, self._settings)
            for each, _ in some:
                self._held.pop(each.image, None)

    def _under_way(self, begun: set[str]) -> None:
        """Of what is given back, only what had been begun may have arrived."""
        for image, each in list(self._held.items()):
            if each.item.instance in begun:
                self._held[image] = replace(each, under_way=True)

    def _down(self, error: RtbidsError) -> None:
        self.close()
        for_good = isinstance(error, NotWanted | UsageFault)
        reason = f"{error}: {error.hint}" if for_good and error.hint else str(error)
        lines.down(self._outbox, self._number, self._destination.url, reason, for_good, self._settings.ends)

    def _give_back(self) -> None:
        if self._held:
            release(self._outbox, deliveries=list(self._held.values()), destination=self._number)
        self._held = {}


class _Behind(Exception):
    """This process was silent for so long that what it has claimed may be another's by now."""


class _Odd(Exception):
    """An error of a destination that nobody expected; its words may identify, and only its kind is kept."""


@contextmanager
def _told_apart() -> Iterator[None]:
    """Tell errors that nobody expected from those that are known, and from our own."""
    try:
        yield
    except (RtbidsError, Stopping, _Behind):
        raise
    except Exception as error:
        raise _Odd(type(error).__name__) from None


class _Guard:
    """A connection that carries nothing more once the work is over or may be another's, and knows what it was given."""

    def __init__(self, connection: Connection, work: Work, is_behind: Callable[[], bool]) -> None:
        self._connection = connection
        self._work = work
        self._is_behind = is_behind
        self.begun: set[str] = set()

    def send(self, items: Sequence[Item]) -> Iterator[tuple[Item, Failure | None]]:
        self.begun.update(item.instance for item in items)
        with _told_apart():
            answers = iter(self._connection.send(items))
        while True:
            with _told_apart():
                answer = next(answers, None)
            if answer is None:
                return
            yield answer
            if self._work.over:
                raise Stopping
            if self._is_behind():
                raise _Behind

    def present(self, items: Sequence[Item]) -> set[str]:
        with _told_apart():
            return self._connection.present(items)


class _GuardClock:
    """A clock whose waiting ends with the work."""

    def __init__(self, clock: Clock, work: Work) -> None:
        self._clock = clock
        self._work = work

    def now(self) -> float:
        return self._clock.now()

    def wait_until(self, moment: float) -> None:
        remaining = moment - self._clock.now()
        if remaining > 0 and self._work.wait(remaining):
            raise Stopping


def _is_intact(each: Waiting) -> bool:
    """Whether a file is as it was; one that is not ours may have been written anew within the same tick of its disk's clock."""
    try:
        status = each.item.path.stat()
        if status.st_size != each.item.size or each.mtime_ns not in (None, status.st_mtime_ns):
            return False
        return each.mtime_ns is None or hashlib.sha256(each.item.path.read_bytes()).hexdigest() == each.item.sha256
    except OSError:
        return False
