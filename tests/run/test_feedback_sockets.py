"""Feedback on the network: every line once and in order for whoever is there; who does not read costs the others nothing."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from rtbids.errors import CannotWrite, ConnectionLost, RtbidsError, UsageFault
from rtbids.run.feedback import destinations, line_server, sockets
from rtbids.run.feedback.datagrams import Datagrams
from rtbids.run.feedback.line_server import LineServer
from rtbids.run.feedback.queued import Queued
from rtbids.run.feedback.web_hook import subscribed

PATIENCE = 20.0  # seconds: no test waits so long unless it fails


def row(volume: int, value: object = 1.5, *, status: str = "ok", experiment: str = "mine") -> dict[str, object]:
    return {"experiment": experiment, "run": "sub-01_task-nf_run-01", "volume": volume, "value": value, "status": status}


def udp_reader() -> tuple[socket.socket, str]:
    reader = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    reader.bind(("127.0.0.1", 0))
    reader.settimeout(PATIENCE)
    return reader, f"udp://127.0.0.1:{reader.getsockname()[1]}"


def client(server: LineServer, receive_buffer: int | None = None) -> socket.socket:
    """Return a client that the server knows of: it has read the line that was the latest when it came."""
    connection = connecting(server, receive_buffer)
    server.send(row(-1, "hello"))
    came = b""
    while not came.endswith(b"\n"):
        came += connection.recv(1)
    return connection


def connecting(server: LineServer, receive_buffer: int | None = None) -> socket.socket:
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(PATIENCE)
    connection.connect((server.address.host, server.address.port))
    return connection


def lines(connection: socket.socket) -> Iterator[dict[str, Any]]:
    with connection.makefile("rb") as file:
        for line in file:
            if (row := json.loads(line))["value"] != "hello":
                yield row


@pytest.fixture
def server() -> Iterator[LineServer]:
    with closing(LineServer(sockets.parse("tcp://127.0.0.1:0"))) as serving:
        yield serving


def test_a_datagram_is_a_line():
    reader, endpoint = udp_reader()
    (destination,) = destinations.open_all([endpoint])
    for volume, status in enumerate(["ok", "alternate", "late", "ok"]):
        destination.send(row(volume, status=status))
    destination.close()
    came = [json.loads(reader.recv(1 << 16)) for _ in range(3)]
    assert [line["volume"] for line in came] == [0, 1, 3]  # a late answer goes to no live destination
    assert came[0] == row(0)
    reader.close()


def test_a_reader_of_datagrams_that_comes_late_misses_only_what_left_before_it(caplog):
    reader, endpoint = udp_reader()
    port = reader.getsockname()[1]
    reader.close()
    datagrams = Datagrams(sockets.parse(endpoint))
    for volume in range(5):
        datagrams.write(row(volume))
    late = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    late.bind(("127.0.0.1", port))
    late.settimeout(PATIENCE)
    for volume in range(5, 8):
        datagrams.write(row(volume))
    assert [json.loads(late.recv(1 << 16))["volume"] for _ in range(3)] == [5, 6, 7]
    datagrams.close()
    late.close()
    assert caplog.text.count("nobody listens there") == 1


def test_a_line_that_is_too_long_for_a_datagram_costs_no_other(caplog):
    reader, endpoint = udp_reader()
    (destination,) = destinations.open_all([endpoint])
    destination.send(row(0, "x" * 70_000))
    destination.send(row(1))
    destination.close()
    assert json.loads(reader.recv(1 << 16))["volume"] == 1
    assert "message too long" in caplog.text
    assert "1 lines did not leave" in caplog.text
    reader.close()


def test_every_client_gets_every_line_in_order(server):
    clients = [client(server) for _ in range(5)]
    for volume in range(100):
        server.send(row(volume))
    server.close()
    for connection in clients:
        assert [line["volume"] for line in lines(connection)] == list(range(100))
        connection.close()


def test_a_client_that_joins_late_has_the_latest_line_of_each_experiment_at_once(server):
    first = client(server)
    for volume in range(3):
        server.send(row(volume))
        server.send(row(volume, experiment="other"))
    early = lines(first)
    assert [(line["experiment"], line["volume"]) for _, line in zip(range(6), early, strict=False)][-1] == ("other", 2)
    joins = lines(connecting(server))
    assert [next(joins)["experiment"], next(joins)["volume"]] == ["mine", 2]
    server.send(row(3))
    assert next(joins)["volume"] == 3


def test_an_answer_that_is_late_goes_to_no_client(server):
    connection = client(server)
    server.send(row(0, status="late"))
    server.send(row(1))
    assert next(lines(connection))["volume"] == 1


def test_a_line_leaves_at_once(server):
    connection = client(server)
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0  # ours: what counts is the server's
    server.send(row(0))
    next(lines(connection))
    (served,) = server._clients
    assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_client_that_does_not_read_is_let_go_of_and_the_others_get_all(server, caplog):
    stuck, reads = client(server, receive_buffer=4096), client(server)
    came = lines(reads)
    count = 0
    while "does not read" not in caplog.text:
        server.send(row(count, "x" * 1000))
        assert next(came)["volume"] == count
        count += 1
        assert count < 20_000, "it should long have been let go of"
    assert count > line_server.MOST_WAITING
    server.send(row(count))
    assert next(came)["volume"] == count
    seen = []
    with suppress(ConnectionResetError, json.JSONDecodeError):  # its last line may be cut
        seen += [line["volume"] for line in lines(stuck)]
    assert seen == list(range(len(seen)))
    stuck.close()


def test_sending_waits_for_no_client(server):
    stuck = client(server, receive_buffer=4096)
    for volume in range(500):
        server.send(row(volume, "x" * 1000))  # far more than the buffers between two sockets hold
    server.close(timeout=0)
    stuck.close()


def test_a_client_that_leaves_in_the_middle_costs_the_others_nothing(server):
    leaves, stays = client(server), client(server)
    came = lines(stays)
    server.send(row(0))
    assert next(came)["volume"] == 0
    leaves.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closes with a reset
    leaves.close()
    for volume in range(1, 50):
        server.send(row(volume))
        assert next(came)["volume"] == volume


def test_a_client_that_says_no_more_goes_on_reading(server):
    connection = client(server)
    connection.shutdown(socket.SHUT_WR)
    for volume in range(20):
        server.send(row(volume))
    server.close()
    assert [line["volume"] for line in lines(connection)] == list(range(20))


def test_what_a_client_says_to_nobody_is_said_once_and_does_no_harm(server, caplog):
    connection = client(server)
    came = lines(connection)
    while "--responses" not in caplog.text:
        connection.sendall(b"\xff\0" * 1000)
        server.send(row(0))
        assert next(came)["volume"] == 0
    for _ in range(20):
        connection.sendall(b"\xff\0" * 1000)
        server.send(row(1))
        assert next(came)["volume"] == 1
    assert caplog.text.count("--responses") == 1


def test_more_clients_than_there_are_places_are_turned_away_and_a_place_that_is_left_is_free(server, caplog, monkeypatch):
    monkeypatch.setattr(line_server, "MOST_CLIENTS", 2)
    two = [client(server), client(server)]
    turned_away = connecting(server)
    assert turned_away.recv(1) == b""
    assert "has 2 clients" in caplog.text
    server.send(row(0))
    for connection in two:
        assert next(lines(connection))["volume"] == 0
    two[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    two[0].close()
    while (next_one := connecting(server)).recv(1) == b"":  # until the server has noticed
        next_one.close()
    next_one.close()


def test_a_hundred_clients_at_once_all_get_an_answer_or_the_door(server):
    server.send(row(0))
    connections = [connecting(server) for _ in range(100)]
    firsts = [next(lines(connection), None) for connection in connections]
    assert len([line for line in firsts if line]) == line_server.MOST_CLIENTS
    for connection in connections:
        connection.close()


def test_where_a_server_listens_is_said_with_its_port():
    said: list[str] = []
    (opened,) = destinations.open_all(["tcp://:0"], say=said.append)
    opened.close()
    assert re.fullmatch(r"feedback at tcp://127\.0\.0\.1:[1-9]\d+", said[0])


def test_a_port_that_is_taken_is_named(server):
    with pytest.raises(CannotWrite, match=rf"cannot listen on {server.name}: address already in use"):
        destinations.open_all([server.name])


def test_two_destinations_may_not_share_what_one_of_them_cannot_open():
    reader, endpoint = udp_reader()
    with pytest.raises(UsageFault):
        destinations.open_all([endpoint, "tcp://127.0.0.1:99999"])
    reader.close()


@pytest.mark.parametrize(
    ("endpoint", "fault", "says"),
    [
        ("udp://localhost", UsageFault, "expected udp://host:port"),
        ("tcp://127.0.0.1:0x5", UsageFault, "expected udp://host:port"),
        ("tcp://127.0.0.1:70000", UsageFault, "up to 65535"),
        ("udp://127.0.0.1:0", UsageFault, "found 0"),
        ("udp://no.such.machine.invalid:5000", ConnectionLost, "no machine of that name"),
        ("tcp://no.such.machine.invalid:5000", ConnectionLost, "no machine of that name"),
        ("tcp://192.0.2.1:5000", CannotWrite, "cannot listen on tcp://192.0.2.1:5000"),
        ("http://127.0.0.1:5000", UsageFault, "feedback does not go to http"),
        ("lsl:", UsageFault, "the name of a stream"),
        ("lsl://mine", UsageFault, "the name of a stream"),
        ("ws:", UsageFault, "no web page is served"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused_in_a_line(endpoint: str, fault: type[RtbidsError], says: str):
    with pytest.raises(fault, match=says) as refusal:
        destinations.open_all([endpoint])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["tcp://[::1]:5000", "udp://10.0.0.2:5000", "tcp://console-1.mri.example:5000"])
def test_an_address_is_written_as_it_is_read(text: str):
    assert str(sockets.parse(text)) == text


def test_a_server_on_ipv6_is_reached():
    if not socket.has_ipv6:
        pytest.skip("this Python has no IPv6")
    try:
        serving = LineServer(sockets.parse("tcp://[::1]:0"))
    except CannotWrite:
        pytest.skip("this machine has no IPv6 address of its own")
    with closing(serving), closing(socket.create_connection(("::1", serving.address.port), PATIENCE)) as connection:
        serving.send(row(0))
        assert next(lines(connection))["volume"] == 0


def test_a_web_page_in_this_process_gets_every_line_that_is_not_late():
    came: list[object] = []
    with subscribed(lambda line: came.append(line["volume"])):
        (destination,) = destinations.open_all(["ws:"])
        for volume, status in enumerate(["ok", "late", "alternate"]):
            destination.send(row(volume, status=status))
        destination.close()
    assert came == [0, 2]


def test_a_subscriber_that_fails_ends_its_destination_only(caplog):
    def fails(line: object) -> None:
        raise OSError("the page was closed")

    with subscribed(fails):
        (destination,) = destinations.open_all(["ws:"])
        destination.send(row(0))
        destination.close()
    assert isinstance(destination, Queued)
    assert "the page was closed" in caplog.text
