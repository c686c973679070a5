"""What a link makes of a frozen peer, of garbage, of claims that cannot be, and of another version."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from link_ends import AT_ONCE, PATIENCE, Keeper, ends, numbered, pair, send, take, wait_for

from rtbids import __version__
from rtbids.errors import ConnectionLost, InputMissing, RtbidsError, StreamBroken, UsageFault
from rtbids.stream import wire
from rtbids.stream.link import Descriptors, Hello, Link, Terms, Transport, dial, hear, protocol, refuse
from rtbids.stream.link.connection import Connection
from rtbids.stream.link.window import Inbox

QUICK = Terms(probes=0, silence=0.3, patience=0.3, beat=0.05, delay=lambda failures: 0.001)
SESSION = "0" * 32


class Impostor:
    """A far side that a test plays itself, byte by byte."""

    def __init__(self, terms: Terms = AT_ONCE) -> None:
        near, self.end = pair()
        self.connection = Connection(self.end, "the near side", AT_ONCE)
        self.said = self.connection.members()
        ways = iter([near])
        self.link = dial(lambda: self._next(ways), "test", terms=terms)

    def _next(self, ways: Iterator[Descriptors]) -> Transport:
        if (way := next(ways, None)) is None:
            raise ConnectionLost("there is but one connection")
        return way

    def answer(self, **changed: Any) -> None:
        """Answer the hello as a far side does, but for what is `changed`."""
        hello = json.loads(bytes(next(self.said).content))
        reply = {**hello, "keeper": "k", "new": True, "taken": 0, **changed}
        self.say(protocol.HELLO, reply)

    def say(self, name: str, fields: object) -> None:
        self.connection.say(name, json.dumps(fields).encode())

    def write(self, content: bytes) -> None:
        self.connection.write([memoryview(content)])

    def error(self) -> BaseException:
        """Return what ended the link."""
        with self:
            wait_for(self.link, lambda: self.link._shared.is_over)
            with pytest.raises(RtbidsError) as caught:
                list(self.link.members())
            return caught.value

    def __enter__(self) -> Impostor:
        return self

    def __exit__(self, *_: object) -> None:
        self.link.close()
        self.end.close()


def test_a_frozen_far_side_is_cut_and_dialled_again_and_nothing_is_lost() -> None:
    frozen: list[Descriptors] = []

    def freeze(near: Descriptors, far: Descriptors) -> tuple[Transport, Transport]:
        silent, nobody = pair()
        frozen.extend([nobody, far])
        return silent, silent

    with ends(terms=QUICK) as (near, road):
        far = road.keeper.link()
        near.wait_up(PATIENCE)
        whole = road.shape
        road.shape = freeze  # takes what fits into its buffers and answers nothing
        road.cut()
        wait_for(near, lambda: len(frozen) >= 4)
        assert "nothing came for 0.3 s" in near.state.problem
        road.shape = whole
        send(near, numbered(3))
        assert take(far, 3) == numbered(3)
    for end in frozen:
        end.close()


class Freezing:
    """A transport on which nothing more goes or comes once `most` bytes have gone."""

    def __init__(self, inner: Descriptors, most: int) -> None:
        self.reader = self.writer = cast(BinaryIO, self)
        self._inner, self._left, self._closed = inner, most, threading.Event()

    def readinto(self, view: memoryview) -> int:
        return self._inner.readinto(view) if self._left else self._wait()

    def write(self, view: memoryview) -> int:
        if not self._left:
            return self._wait()
        written = self._inner.writev([view[: self._left]])
        self._left -= written
        return written

    def _wait(self) -> int:
        if self._closed.wait(0.02):
            raise ConnectionResetError("closed here")
        raise TimeoutError

    def close(self) -> None:
        self._closed.set()
        self._inner.close()


def test_a_connection_that_freezes_amid_large_members_both_ways_is_made_anew_and_nothing_is_lost() -> None:
    content = os.urandom(1 << 20)
    with ends(terms=QUICK, keeper=Keeper(terms=QUICK)) as (near, road):
        near.wait_up(PATIENCE)
        far, whole = road.keeper.link(), road.shape
        road.shape = lambda near, far: (Freezing(near, (3 << 20) + 7), far)
        road.cut()
        wait_for(near, lambda: near.state.cuts == 1 and near.state.is_up)
        road.shape = whole
        for _ in range(8):
            near.send("m", content)
            far.send("m", content)
        assert take(far, 8) == [(number, "m", content) for number in range(8)]
        assert take(near, 8) == [(number, "m", content) for number in range(8)]
        assert near.state.cuts >= 2


def test_a_connection_that_falls_silent_after_its_hello_is_cut() -> None:
    played = Impostor(QUICK)
    with played:
        played.answer()
        wait_for(played.link, lambda: played.link.state.cuts == 1)
        assert not played.link.state.is_up


@pytest.mark.parametrize(
    ("garbage", "said"),
    [
        (b"Welcome to analysis-01\n" * 40, "no tar header"),
        (b"\0" * 1024, "ended without an answer"),
        (wire.END[:512] + b"x" * 512, "second block of the end mark"),
    ],
)
def test_garbage_in_place_of_the_answer_ends_a_link_that_never_was_up(garbage: bytes, said: str) -> None:
    played = Impostor()
    played.write(garbage)
    error = played.error()
    assert isinstance(error, StreamBroken)
    assert said in str(error)


def test_garbage_in_the_middle_is_a_cut_and_what_was_sent_arrives_all_the_same() -> None:
    with ends() as (near, road):
        far = road.keeper.link()
        near.wait_up(PATIENCE)
        road.ends[1].writev([memoryview(b"print('oops')\n" * 100)])
        wait_for(near, lambda: near.state.cuts == 1)
        send(near, numbered(3))
        assert take(far, 3) == numbered(3)


def tar(name: str, size: int) -> bytes:
    """The header of a member that claims to be of some size."""
    return (
        b"".join(wire.framed(name, [memoryview(b"")]))[:124]
        + f"{size:011o}\0".encode()
        + b"".join(wire.framed(name, [memoryview(b"")]))[136:]
    )


def summed(block: bytes) -> bytes:
    total = sum(block[:148]) + 8 * 32 + sum(block[156:512])
    return block[:148] + f"{total:06o}\0 ".encode() + block[156:]


@pytest.mark.parametrize(("name", "size"), [("link/safe.json", 300 << 10), ("m", 5 << 30), ("m", 2 << 20)])
def test_a_member_that_claims_too_much_is_refused_before_it_is_read(
    name: str, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    played = Impostor(Terms(probes=0, largest=1 << 20, delay=lambda failures: 0.001))
    with played:
        played.answer()
        played.say(protocol.NEXT, {"next": 0})
        played.write(summed(tar(name, size)))
        wait_for(played.link, lambda: played.link.state.attempts > 0)
    assert f"member {name!r} of {size} bytes is refused" in caplog.text


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("link/safe.json", {"safe": 1, "given": 0}, "1 members are safe or taken, but 0 were sent"),
        ("link/safe.json", {"safe": 0, "given": 1}, "1 members are safe or taken, but 0 were sent"),
        ("link/next.json", {"next": 1}, "goes on from member 1, but the last that came is -1: some are lost"),
        ("link/alive.json", {"sent": 0.0, "next": 4}, "sends member 4 next, but here number 0 is due"),
        ("link/end.json", {"next": 2}, "sends member 2 next, but here number 0 is due"),
        ("link/dropped.json", {"count": 0}, "a mark of no dropped member"),
    ],
)
def test_counts_that_cannot_be_end_the_link_and_are_told_to_the_other_side(name: str, fields: object, said: str) -> None:
    played = Impostor()
    played.answer()
    played.say(protocol.NEXT, {"next": 0})
    played.say(name, fields)
    told = [member for member in played.said if member.name == protocol.REFUSED]
    assert said in json.loads(bytes(told[0].content))["error"]
    error = played.error()
    assert isinstance(error, StreamBroken)
    assert said in str(error)


@pytest.mark.parametrize(
    "changed",
    [
        {"taken": 1},
        {"taken": -1},
        {"taken": 10**400},
        {"taken": True},
        {"session": "f" * 32},
        {"session": "../x"},
        {"keeper": "k" * 1000},
        {"inbox": None},
        {"inbox": {"size": 1, "most": 1, "given": 0, "waiting": -1}},
        {"protocol": None},
    ],
    ids=str,
)
def test_an_answer_that_cannot_be_is_refused(changed: dict[str, Any]) -> None:
    played = Impostor()
    try:
        played.answer(**changed)
    except ValueError:
        played.write(b"".join(wire.framed(protocol.HELLO, [memoryview(b'{"taken": 1' + b"0" * 400 + b"}")])))
    assert isinstance(played.error(), StreamBroken)


@pytest.mark.parametrize("number", [1, 2])
def test_another_version_is_refused_with_both_versions_and_what_to_do(number: int) -> None:
    played = Impostor()
    played.answer(protocol=number, version="9.9\n\x1b")
    error = played.error()
    assert isinstance(error, UsageFault)
    assert str(error) == f"the far side has rtbids 9.9   (protocol {number}), this side rtbids {__version__} (protocol 1)"
    assert f"pip install rtbids=={__version__} && " in str(error.hint)


def test_the_far_side_refuses_another_version_too_and_the_dialling_side_says_so() -> None:
    near, far = pair()
    hello = json.loads(Hello(SESSION, "test").content())
    Connection(near, "far", AT_ONCE).say(protocol.HELLO, json.dumps({**hello, "protocol": 7, "version": "0.0.7"}).encode())
    with pytest.raises(UsageFault, match=r"the near side has rtbids 0\.0\.7 \(protocol 7\), the far side rtbids"):
        hear(far)
    refused = next(Connection(near, "far", AT_ONCE).members())
    assert refused.name == protocol.REFUSED
    told = protocol.refusal(refused, "far")
    assert isinstance(told, UsageFault)
    assert "pip install rtbids==0.0.7 && " in str(told.hint)


def dialled(answer: Callable[[Transport], None]) -> Link:
    """A link whose far side does something with each connection."""

    def connect() -> Transport:
        near, far = pair()
        threading.Thread(target=answer, args=(far,), daemon=True).start()
        return near

    return dial(connect, "test", terms=AT_ONCE)


def test_a_refused_verb_is_raised_with_its_class_and_hint() -> None:
    def answer(transport: Transport) -> None:
        hear(transport)
        refuse(transport, InputMissing("no verb 'test'", "there are: echo"))

    link = dialled(answer)
    with pytest.raises(InputMissing, match="the far side: no verb 'test'") as caught:
        link.wait_up(PATIENCE)
    assert caught.value.hint == "there are: echo"
    link.close()


def test_a_refusal_that_may_pass_is_tried_again() -> None:
    keeper = Keeper()
    tries: list[int] = []

    def answer(transport: Transport) -> None:
        tries.append(1)
        if len(tries) > 3:
            keeper.take(transport)
            return
        hear(transport)
        refuse(transport, ConnectionLost("busy"))

    link = dialled(answer)
    link.wait_up(PATIENCE, patient=True)
    assert len(tries) == 4
    link.close()
    keeper.close()


def test_a_session_that_is_over_is_refused_to_who_comes_back() -> None:
    with ends() as (near, road):
        far = road.keeper.link()
        near.wait_up(PATIENCE)
        road.is_blocked.set()
        road.cut()
        wait_for(far, lambda: not far.state.is_up)
        far.close(InputMissing("the folder has gone"))
        road.is_blocked.clear()
        with pytest.raises(InputMissing, match="the folder has gone"):
            list(near.members())


def test_an_echo_of_what_was_never_sent_and_one_that_comes_twice_do_not_count() -> None:
    with Impostor() as played:
        played.answer()
        played.say(protocol.NEXT, {"next": 0})
        beat = next(json.loads(bytes(said.content)) for said in played.said if said.name == protocol.ALIVE)
        echo = {"echo": beat["sent"], "came": beat["sent"], "sent": beat["sent"]}
        played.say(protocol.ALIVE, {**echo, "echo": beat["sent"] + 1e-3})
        played.say(protocol.ALIVE, echo)
        played.say(protocol.ALIVE, {**echo, "came": beat["sent"] + 5, "sent": beat["sent"] + 5})
        exchanges = played.link._shared.exchanges
        played.say(protocol.SAFE, {"safe": 0, "given": 0, "end": True})
        wait_for(played.link, lambda: played.link._shared.knows_end)
        assert len(exchanges._latest) == 1


def test_a_far_side_that_warns_without_end_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with Impostor() as played:
        played.answer()
        played.say(protocol.NEXT, {"next": 0})
        for number in range(1000):
            played.say(protocol.WARNED, {"text": f"warning {number}"})
        played.say(protocol.SAFE, {"safe": 0, "given": 0, "end": True})
        wait_for(played.link, lambda: played.link._shared.knows_end)
    assert [one.message for one in caplog.records if "warning" in one.message] == [
        f"the far side: warning {number}" for number in range(200)
    ]


@given(st.binary(max_size=4000))
def test_whatever_comes_in_place_of_a_hello_is_one_of_our_errors(content: bytes) -> None:
    near, far = pair()
    Connection(near, "far", AT_ONCE).write([memoryview(content)])
    near.close()
    with pytest.raises((StreamBroken, UsageFault, ConnectionLost)):
        hear(far)
    far.close()


def test_deeply_nested_json_is_refused() -> None:
    for content in (b"[" * 100_000, b'{"a":' * 50_000, b'{"taken": NaN}', b"\xff\xfe", b"[]", b'{"a": 1' + b"0" * 5000 + b"}"):
        with pytest.raises(StreamBroken, match=r"^far: link/hello\.json"):
            Hello.read(content, "far")


def test_hearing_takes_not_one_byte_more_than_the_hello() -> None:
    near, far = pair()
    hello = Hello(SESSION, "receive", {"path": "é"}, taken=3, origin=2, keeper="k", inbox=Inbox(5, 4, 3, 2))
    connection = Connection(near, "far", AT_ONCE)
    connection.write([*wire.framed(protocol.HELLO, [memoryview(hello.content())]), memoryview(b"rest")])
    assert hear(far) == hello
    view = memoryview(bytearray(4))
    assert bytes(view[: far.readinto(view)]) == b"rest"
    near.close()
    far.close()


def test_writing_is_taken_up_where_a_short_or_late_write_left_it() -> None:
    class Stammering(io.RawIOBase):
        def __init__(self) -> None:
            self.taken = b""
            self.turns = 0

        def write(self, view: memoryview) -> int:  # type: ignore[override]
            self.turns += 1
            if self.turns % 3 == 0:
                raise TimeoutError
            self.taken += bytes(view[:7000])
            return min(7000, len(view))

    writer = Stammering()
    transport: Any = type("Channel", (), {"reader": io.BytesIO(), "writer": writer, "close": lambda self: None})()
    content = os.urandom(295_264)
    pieces = wire.framed("m", [memoryview(content[:100]), memoryview(content[100:])])
    Connection(transport, "far", AT_ONCE).write(pieces)
    assert writer.taken == b"".join(pieces)
