"""The answer to a store reaches its sender, whatever else happens at that moment; and where none comes it is known at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue
from typing import Any

import pytest
from dicomnet.peer import ABORT, LONG, NONSENSE, RELEASE, RELEASED, RUN, Peer, answer
from pynetdicom.pdu_primitives import P_DATA

from rtbids.clock import CLOCK
from rtbids.dicomnet import Sender
from rtbids.errors import ConnectionLost

SOON = 5.0  # seconds; what is noticed at once takes milliseconds, and what is not takes longer than LONG


@pytest.fixture
def peer() -> Iterator[Peer]:
    listening = Peer()
    yield listening
    listening.close()


@pytest.fixture
def meanwhile(peer) -> Iterator[Callable[..., Future]]:
    """Do something as the peer, in a thread of its own; it has to succeed."""
    begun: list[Future] = []
    with ThreadPoolExecutor() as threads:

        def begin(*steps: Callable[[], object]) -> Future:
            begun.append(threads.submit(lambda: [step() for step in steps]))
            return begun[-1]

        yield begin
        for future in begun:
            future.result(LONG)


class Reading(threading.Event):
    """Holds an association's own thread where it has just seen that it may go on, until something has come.

    Then it takes its turn, and the sender may look for the answer only after it: the worst that can happen to the sender.
    """

    def __init__(self, association: Any) -> None:
        super().__init__()
        self.set()
        self.held, self.come, self.over = threading.Event(), threading.Event(), threading.Event()
        queue = _Turns(association, self)
        association._reactor_checkpoint, association.dimse.msg_queue = self, queue
        assert self.held.wait(LONG)

    def wait(self, timeout: float | None = None) -> bool:
        """Be called by that thread, once a turn."""
        if self.held.is_set():
            self.over.set()
            return super().wait(LONG)
        self.held.set()
        return self.come.wait(LONG)


class _Turns(Queue):
    """The queue of an association's messages, in which its own thread looks first."""

    def __init__(self, association: Any, reading: Reading) -> None:
        super().__init__()
        self._association, self._reading = association, reading

    def put(self, message: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(message)
        self._reading.come.set()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if threading.current_thread() is not self._association:
            deadline = CLOCK.now() + LONG
            while self._association.is_alive() and not self._reading.over.wait(0.01):
                assert CLOCK.now() < deadline
        return super().get(block, timeout)


@pytest.fixture
def sender(peer, meanwhile) -> Iterator[Sender]:
    meanwhile(peer.accept)
    begun = peer.sender().__enter__()
    yield begun
    begun.__exit__(ConnectionLost)


def test_an_answer_that_comes_when_the_associations_own_thread_looks_reaches_the_sender(peer, sender, meanwhile):
    sender._association.dimse_timeout = SOON
    meanwhile(peer.take, lambda: peer.say(answer(1)))
    Reading(sender._association)
    sender.send(RUN[0])


@pytest.mark.parametrize("end", [lambda peer: peer.say(ABORT), Peer.hang_up], ids=["an abort", "a cut"])
def test_an_end_that_comes_when_the_associations_own_thread_looks_is_noticed_at_once(peer, sender, meanwhile, end):
    meanwhile(peer.take, lambda: end(peer))
    Reading(sender._association)
    begun = CLOCK.now()
    with pytest.raises(ConnectionLost, match="ended the association before it had answered"):
        sender.send(RUN[0])
    assert CLOCK.now() - begun < SOON


def release_in_order(peer: Peer) -> None:
    peer.say(RELEASE)
    assert peer.heard()[0] == RELEASED[0]


ENDS = {
    "an abort": lambda peer: peer.say(ABORT),
    "a release": release_in_order,
    "a cut": Peer.hang_up,
    "a cut in a PDU": lambda peer: (peer.say(answer(1)[:30]), peer.hang_up()),
    "nonsense": lambda peer: peer.say(NONSENSE),
    "no PDU": lambda peer: peer.say(b"GET / HTTP/1.1\r\n\r\n"),
    "an answer without a status": lambda peer: peer.say(answer(1, None)),
}


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_end_instead_of_an_answer_is_noticed_at_once(peer, sender, meanwhile, end):
    meanwhile(peer.take, lambda: end(peer))
    begun = CLOCK.now()
    with pytest.raises(ConnectionLost, match=r"before it had answered|without a status"):
        sender.send(RUN[0])
    assert CLOCK.now() - begun < SOON


def test_a_thread_that_dies_without_a_word_is_noticed(peer, sender, meanwhile):
    meanwhile(peer.take, sender._association.dul.kill_dul)
    with pytest.raises(ConnectionLost, match="before it had answered"):
        sender.send(RUN[0])


@pytest.mark.parametrize("end", [ABORT, b""], ids=["an abort", "a cut"])
def test_an_answer_counts_though_the_end_comes_with_it(peer, sender, meanwhile, end):
    meanwhile(peer.take, lambda: peer.say(answer(1) + end), peer.hang_up)
    sender.send(RUN[0])
    sender._association.join(LONG)
    with pytest.raises(ConnectionLost):
        sender.send(RUN[1])


def test_an_answer_to_another_image_is_none(peer, sender, meanwhile):
    two = (lambda: peer.say(answer(7) + answer(1)), peer.take, lambda: peer.say(answer(1) + answer(2, 0xA700)))
    meanwhile(peer.take, *two)
    sender.send(RUN[0])
    with pytest.raises(ConnectionLost, match="out of resources"):
        sender.send(RUN[1])


def test_silence_ends_after_its_time_and_costs_nothing_until_then(peer, sender, meanwhile):
    sender._association.dimse_timeout = 1.0
    meanwhile(peer.take)
    begun, spent = CLOCK.now(), time.thread_time()
    with pytest.raises(ConnectionLost, match="has not answered for 1 s whether it stored the image"):
        sender.send(RUN[0])
    assert 1.0 <= CLOCK.now() - begun < SOON
    assert time.thread_time() - spent < 0.2


def test_a_release_between_two_images_is_answered(peer, sender, meanwhile):
    meanwhile(peer.take, lambda: peer.say(answer(1)), lambda: release_in_order(peer))
    sender.send(RUN[0])
    sender._association.join(LONG)
    with pytest.raises(ConnectionLost, match="ended the association"):
        sender.send(RUN[1])


def test_two_releases_at_a_time_end_in_order(peer, sender, meanwhile):
    heard = meanwhile(peer.heard, lambda: peer.say(RELEASE), peer.heard, lambda: peer.say(RELEASED))
    sender.__exit__(None)
    assert [step[0] for step in heard.result(LONG) if step] == [RELEASE[0], RELEASED[0]]
    assert not sender._association.is_alive()


def test_a_release_that_nobody_answers_becomes_an_abort(peer, sender, meanwhile, monkeypatch):
    monkeypatch.setattr("rtbids.dicomnet.endings.RELEASE", 0.2)
    heard = meanwhile(peer.heard, peer.heard)
    sender.__exit__(None)
    assert [step[0] for step in heard.result(LONG)] == [RELEASE[0], ABORT[0]]
    assert not sender._association.is_alive()


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_is_said_after_the_end_is_dropped(peer, sender, meanwhile):
    meanwhile(peer.heard, peer.hang_up)
    part = P_DATA()
    part.presentation_data_value_list.append((1, b"\x03too late"))
    sender._association.acse.send_abort(0)
    sender._association.dul.send_pdu(part)
    sender._association.dul.join(LONG)
    assert not sender._association.dul.is_alive()
