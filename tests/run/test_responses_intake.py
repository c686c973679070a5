"""Responses as they come in: by each way there is, time-stamped, bounded, and what is wrong with them named once."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from rtbids.clock import CLOCK, ManualClock
from rtbids.errors import CannotWrite, InputMissing, RtbidsError, StreamBroken, UsageFault
from rtbids.run.feedback import destinations
from rtbids.run.responses import intake
from rtbids.run.responses.bursts import ROOM, Bursts
from rtbids.run.responses.intake import Inbound, Intake
from rtbids.run.responses.listeners import Responses, listening
from rtbids.run.responses.responses import Response, row

PATIENCE = 20.0  # seconds: no test waits so long unless it fails


def came(responses: Responses, count: int = 1) -> list[Response]:
    """Wait for `count` responses."""
    taken: list[Response] = []
    while len(taken) < count:
        assert select.select([responses.inbound], [], [], PATIENCE)[0], f"expected {count}, found {taken}"
        taken += responses.inbound.take()
    return taken


def everything(inbound: Inbound) -> list[Response]:
    """Take what has come, however much."""
    taken: list[Response] = []
    while some := inbound.take():
        taken += some
    return taken


def port(said: list[str]) -> int:
    return int(said[0].rpartition(":")[2])


@pytest.fixture
def said() -> list[str]:
    return []


def by_udp(said: list[str], content: bytes) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
        sender.sendto(content, ("127.0.0.1", port(said)))


def by_tcp(said: list[str], content: bytes) -> None:
    with closing(socket.create_connection(("127.0.0.1", port(said)), PATIENCE)) as sender:
        sender.sendall(content)


@pytest.mark.parametrize(("endpoint", "send"), [("udp://:0", by_udp), ("tcp://:0", by_tcp)])
def test_a_response_has_the_time_of_its_arrival_and_that_of_its_sender(said, endpoint, send):
    before = CLOCK.now()
    with listening([endpoint], 1.0, said.append) as responses:
        send(said, json.dumps({"event": "button", "value": "1", "time": before}).encode() + b"\n")
        (response,) = came(responses)
    assert (response.name, response.value, response.sender_time) == ("button", "1", before)
    assert before <= response.arrived <= CLOCK.now()


@pytest.mark.parametrize(("endpoint", "send"), [("udp://:0", by_udp), ("tcp://:0", by_tcp)])
def test_several_lines_at_once_and_a_last_one_without_its_end_all_count(said, endpoint, send):
    with listening([endpoint], 1.0, said.append) as responses:
        send(said, b'1\n\n{"event": "button", "value": 2}\r\n3')
        assert [response.value for response in came(responses, 3)] == ["1", "2", "3"]


def test_a_shell_writes_to_a_named_pipe_as_often_as_it_likes(tmp_path):
    pipe = tmp_path / "buttons"
    os.mkfifo(pipe)
    with listening([str(pipe)], 1.0) as responses:
        for press in "123":
            subprocess.run(["sh", "-c", f"echo {press} > buttons"], cwd=tmp_path, check=True, timeout=PATIENCE)
        assert [response.value for response in came(responses, 3)] == ["1", "2", "3"]


def test_a_marker_stream_is_heard_with_its_own_times(said):
    pylsl = pytest.importorskip("pylsl", reason="pylsl, the extra lsl, is not installed")
    name = f"rtbids-test-{uuid.uuid4().hex[:8]}"
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "Markers", 1, 0, "string", name))
    with listening([f"lsl:{name}"], PATIENCE) as responses:
        outlet.wait_for_consumers(PATIENCE)
        before = CLOCK.now()
        outlet.push_sample(["1"], pylsl.local_clock() - 0.25)
        outlet.push_sample(['{"event": "face", "time": 7}'])
        plain, told = came(responses, 2)
    assert (plain.name, plain.value) == ("response", "1")
    assert plain.sender_time == pytest.approx(before - 0.25, abs=0.1)  # one machine, one clock: the library's own estimate
    assert (told.name, told.sender_time) == ("face", 7.0)


def test_feedback_and_responses_share_a_connection(said):
    row = {"experiment": "mine", "run": "r", "volume": 0, "value": 1.0, "status": "ok"}
    with listening(["tcp://127.0.0.1:0"], 1.0, said.append) as responses:
        (feedback,) = destinations.open_all(["tcp://127.0.0.1:0"], servers=responses.servers)
        with closing(socket.create_connection(("127.0.0.1", port(said)), PATIENCE)) as both:
            both.sendall(b"1\n")
            assert came(responses)[0].value == "1"
            feedback.send(row)
            with both.makefile("rb") as file:
                assert json.loads(file.readline()) == row
        feedback.close()


def test_a_flood_is_bounded_and_named_once(caplog):
    inbound, clock = Inbound(), ManualClock(100.0)
    flooded = Intake("udp://:5000", inbound, clock)
    for _ in range(3000):
        flooded.datagram(b"1")
    assert len(everything(inbound)) == intake.BURST
    clock.advance(10.0)
    flooded.datagram(b"1")
    assert len(everything(inbound)) == 1
    flooded.close()
    assert caplog.text.count("more than 200 responses a second are left out") == 1
    assert "2000 were left out (2000 came too fast)" in caplog.text


def test_a_burst_is_read_or_counted():
    """More than the system keeps: what is not there to be read has been counted, as the system counts."""
    with closing(Bursts(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))) as bursts, sender() as udp:
        bursts._bound.bind(("127.0.0.1", 0))
        sent = 20_000
        for _ in range(sent):
            udp.sendto(b"1", bursts._bound.getsockname())
        if not (lost := bursts.lost()) and sys.platform != "linux":
            pytest.skip("only Linux says what it dropped")
        read = sum(len(some) for some in iter(bursts.read, []))
        assert lost > 0
        assert read + lost == sent
        udp.sendto(b"1", bursts._bound.getsockname())
        assert len(bursts.read()) == 1
        assert bursts.lost() == 0


def test_there_is_room_for_two_thousand_presses_at_once():
    with closing(Bursts(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))) as bursts, sender() as udp:
        given = bursts._bound.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        if given < ROOM:
            pytest.skip(f"the administrator allows {given} bytes (net.core.rmem_max)")
        bursts._bound.bind(("127.0.0.1", 0))
        for _ in range(2000):
            udp.sendto(b'{"event": "button", "value": "1"}', bursts._bound.getsockname())
        assert sum(len(some) for some in iter(bursts.read, [])) == 2000
        assert bursts.lost() == 0


def test_what_is_lost_is_said_once_and_counted(caplog):
    deaf = Intake("udp://:5000", Inbound(), ManualClock(100.0))
    for count in (0, 3, 4):
        deaf.lost(count)
    deaf.close()
    assert caplog.text.count("datagrams come faster than they can be read") == 1
    assert "7 were left out (7 lost before they were read)" in caplog.text


def sender() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def test_nobody_who_takes_is_waited_for(caplog):
    inbound = Inbound()
    clock = ManualClock(100.0)
    several = [Intake(f"udp://:{number}", inbound, clock) for number in range(5)]
    for each in several:
        for _ in range(intake.BURST):
            each.datagram(b"1")
    assert len(everything(inbound)) == intake.MOST_WAITING
    assert "more responses come than the run can take" in caplog.text


def test_many_are_taken_a_few_at_a_time(caplog):
    inbound = Inbound()
    for number in range(intake.AT_ONCE + 1):
        inbound.put(Response("button", str(number)))
    assert len(inbound.take()) == intake.AT_ONCE
    assert select.select([inbound], [], [], 0)[0]
    assert [response.value for response in inbound.take()] == [str(intake.AT_ONCE)]
    assert not select.select([inbound], [], [], 0)[0]


def test_presses_among_rubbish_are_heard():
    inbound, clock = Inbound(), ManualClock(100.0)
    some = Intake("udp://:5000", inbound, clock)
    for _ in range(3000):
        some.datagram(b"{rubbish", "a")
        clock.advance(0.0003)
    for press in range(20):
        some.datagram(b'{"event": "button", "value": %d}' % press, "a")
        for _ in range(25):
            some.datagram(b"{rubbish", "a")
            clock.advance(0.001)
    assert [response.value for response in everything(inbound)] == [str(press) for press in range(20)]


def test_who_sends_too_much_is_read_no_more_for_a_while_and_takes_no_others_place(said):
    with (
        listening(["tcp://:0"], 1.0, said.append) as responses,
        closing(socket.create_connection(("127.0.0.1", port(said)), PATIENCE)) as floods,
        closing(socket.create_connection(("127.0.0.1", port(said)), PATIENCE)) as presses,
    ):
        floods.setblocking(False)
        sent = 0
        while select.select([], [floods], [], intake.PAUSE / 2)[1]:  # until nobody reads
            sent += floods.send(b"x\n" * 30_000)
            assert sent < 500e6, "it is read as fast as it comes"
        presses.sendall(b'{"event": "button"}\n')
        while (response := came(responses)[-1]).name != "button":
            pass
    assert response.name == "button"


def test_senders_of_datagrams_that_are_no_more_are_forgotten():
    inbound = Inbound()
    some = Intake("udp://:5000", inbound, ManualClock(100.0))
    for sender in range(3 * intake.MOST_SENDERS):
        some.datagram(b"1", sender)
    assert len(everything(inbound)) == 3 * intake.MOST_SENDERS
    assert len(some._senders) == intake.MOST_SENDERS


def test_more_datagrams_than_a_run_can_bear_are_left_to_the_system():
    some, clock = Inbound(), ManualClock(100.0)
    flooded = Intake("udp://:5000", some, clock)
    assert [flooded.datagram(b"", sender) for sender in range(intake.DATAGRAMS)] == [0.0] * intake.DATAGRAMS
    assert flooded.datagram(b"") == intake.REST
    clock.advance(intake.REST)
    assert flooded.datagram(b"") == 0.0


NASTY = {
    "a space that is no ASCII": b'{"event":"b"}\xc2\xa0',
    "a separator": b'{"event":"b"}\x1c',
    "a space before": b'\xe2\x80\x83{"event":"b"}',
    "a time that no float holds": b'{"event":"b","time":-1' + b"0" * 400 + b"}",
    "a duration that no float holds": b'{"event":"b","duration":1' + b"0" * 400 + b"}",
    "minus infinity": b'{"event":"b","time":-1e999}',
    "lists in lists": b'{"event":"b","value":' + b"[" * 1500 + b"]" * 1500 + b"}",
    "objects in objects": b'{"event":"b","value":' + b'{"a":' * 600 + b"1" + b"}" * 600 + b"}",
    "half a character": b'{"event":"b\\ud800"}',
    "half a character in a value": b'{"event":"b","value":{"a":"\\ud800"}}',
    "a number of thousands of digits": b'{"event":"b","value":1' + b"0" * 3900 + b"}",
    "a zero": b'{"event":"b\\u0000"}',
}


@pytest.mark.parametrize("nasty", NASTY.values(), ids=NASTY)
@pytest.mark.parametrize(("endpoint", "send"), [("udp://:0", by_udp), ("tcp://:0", by_tcp)])
def test_whatever_one_sends_the_next_is_heard(said, endpoint, send, nasty):
    with listening([endpoint], 1.0, said.append) as responses:
        send(said, nasty + b"\n")
        send(said, b'{"event":"after"}\n')
        heard: list[Response] = []
        while not heard or heard[-1].name != "after":
            heard += came(responses)
    assert all(response.sender_time is None for response in heard)
    for response in heard:
        "\t".join(map(str, row(response))).encode()


def test_a_datagram_that_is_not_there_after_all_is_not_waited_for(said):
    with listening(["udp://:0"], 1.0, said.append) as responses:
        ((reader, _),) = responses._listeners
        assert not reader._source._bound.getblocking()  # a damaged one is thrown away between `select` and `recv`


def test_what_is_malformed_is_named_once_each_and_counted(caplog):
    inbound = Inbound()
    some = Intake("tcp://:5000", inbound, ManualClock(100.0))
    feed = some.connection().feed
    for _ in range(10):
        feed(b"\xff\n{\n" + b"x" * 5000 + b'\n{"event": "button"}\n')
    some.close()
    assert len(everything(inbound)) == 10
    assert len(caplog.records) == 3
    assert "30 were left out (20 not understood, 10 too long)" in caplog.text
    assert "x" * 10 not in caplog.text


@pytest.mark.parametrize(("sent", "says"), [(97.5, "2.5 s behind this one"), (103.0, "3 s ahead of this one"), (100.9, "")])
def test_clocks_that_disagree_are_named_once(caplog, sent, says):
    some = Intake("udp://:5000", Inbound(), ManualClock(100.0))
    for _ in range(3):
        some.datagram(json.dumps({"event": "button", "time": sent}).encode())
    assert [record.message for record in caplog.records] == (
        [f"responses from udp://:5000: the sender's clock is {says}; onsets are by the time of arrival here"] if says else []
    )


def test_unknown_keys_are_named_once_and_cost_nothing(caplog):
    inbound = Inbound()
    some = Intake("udp://:5000", inbound, ManualClock(100.0))
    for _ in range(3):
        some.datagram(b'{"event": "button", "rt": 0.3}')
    assert len(everything(inbound)) == 3
    assert caplog.text.count("1 unknown keys are left out; known are event, value, time, duration") == 1


@pytest.fixture
def plain_file(tmp_path: Path) -> str:
    (tmp_path / "presses.txt").write_text("1\n")
    return str(tmp_path / "presses.txt")


@pytest.mark.parametrize(
    ("endpoint", "fault", "says"),
    [
        ("-", UsageFault, "do not come from there"),
        ("http://127.0.0.1:80", UsageFault, "do not come from there"),
        ("no-such-pipe", InputMissing, "no such named pipe"),
        ("udp://127.0.0.1", UsageFault, "expected udp://host:port"),
        ("tcp://192.0.2.1:5000", CannotWrite, "cannot listen on"),
        ("lsl:rtbids-nobody-offers-this", StreamBroken, "waited 0.2 s"),
    ],
)
def test_an_end_that_cannot_be_is_refused_in_a_line(endpoint: str, fault: type[RtbidsError], says: str):
    if endpoint.startswith("lsl"):
        pytest.importorskip("pylsl", reason="pylsl, the extra lsl, is not installed")
    with pytest.raises(fault, match=says), listening([endpoint], 0.2):
        pass


def test_a_plain_file_is_no_end_of_responses(plain_file: str):
    with pytest.raises(UsageFault, match="do not come from there"), listening([plain_file], 0.2):
        pass


def test_two_cannot_listen_at_one_place(said):
    with (
        listening(["udp://:0"], 1.0, said.append),
        pytest.raises(CannotWrite, match="address already in use"),
        listening([f"udp://127.0.0.1:{port(said)}"], 1.0),
    ):
        pass
