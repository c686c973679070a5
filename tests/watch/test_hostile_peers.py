"""Peers that send nonsense, too much, or nothing: their association ends, and nobody else notices."""

from __future__ import annotations

import logging
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO

import pytest
from pydicom import dcmread, dcmwrite
from reception import LONG, MR, RUN, Reception, dataset_of, in_spool, send

from rtbids.clock import ManualClock
from rtbids.dicomnet import Address, Sender
from rtbids.errors import BadData
from rtbids.watch.callers import ARTIM, MOST, MOST_OF_ONE

pytestmark = pytest.mark.alone

ABORT, REJECT = b"\x07", b"\x03"  # types of PDU (PS3.8, 9.3)
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
IMAGE = dataset_of(RUN[0])


def pdu(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBL", kind, 0, len(content)) + content


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def request(contexts: int = 1, calling: bytes = b"PEER") -> bytes:
    """Return a request for an association, which offers MR images in implicit VR again and again."""
    context = item(0x30, MR.encode()) + item(0x40, b"1.2.840.10008.1.2")
    offers = b"".join(item(0x20, bytes([(2 * n + 1) % 256, 0, 0, 0]) + context) for n in range(contexts))
    user = item(0x50, item(0x51, bytes(4)) + item(0x52, b"1.2.3"))
    names = b"RTBIDS".ljust(16) + calling.ljust(16)
    return pdu(1, struct.pack(">HH", 1, 0) + names + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1") + offers + user)


def element(number: int, content: bytes) -> bytes:
    return struct.pack("<HHL", 0, number, len(content)) + content


def command(instance: bytes = b"1.2.3", kind: int = 1, sop_class: str = MR) -> bytes:
    uids = [uid + b"\0" * (len(uid) % 2) for uid in (sop_class.encode(), instance)]
    numbers = ((0x100, kind), (0x110, 1), (0x700, 0), (0x800, 1))
    body = (
        element(2, uids[0]) + b"".join(element(*(tag, struct.pack("<H", n))) for tag, n in numbers) + element(0x1000, uids[1])
    )
    return element(0, struct.pack("<L", len(body))) + body


def fragment(flags: int, content: bytes, context: int = 1) -> bytes:
    return pdu(4, struct.pack(">LBB", len(content) + 2, context, flags) + content)


@contextmanager
def connected(address: Address, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.create_connection((address.host, address.port), LONG, (source, 0)) as connection:
        yield connection


def end(connection: socket.socket) -> bytes:
    """Return what the receiver says until it hangs up."""
    said = b""
    try:
        while part := connection.recv(4096):
            said += part
    except ConnectionResetError:
        pass
    return said


def still_serves(reception: Reception, caplog: pytest.LogCaptureFixture) -> None:
    send(RUN[3:5], reception.address)
    assert reception.came(2)[-2:] == [4, 5]
    assert not [record for record in caplog.records if record.exc_info]


@pytest.fixture(autouse=True)
def _heard(caplog):
    caplog.set_level(logging.INFO, "rtbids")


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        fragment(3, command()),
        struct.pack(">BBL", 1, 0, 0xFFFFFFF0) + bytes(100),
        request(calling="Mül\xff".encode("latin1")),
    ],
    ids=["another protocol", "an image before an association", "4 GB of a request", "no AE title"],
)
def test_what_is_no_request_for_an_association_ends_the_connection(receive, caplog, sent):
    reception = receive()
    with connected(reception.address) as peer:
        peer.sendall(sent)
        assert end(peer)[:1] in (ABORT, b"")
    still_serves(reception, caplog)


def test_endless_presentation_contexts_cost_nothing(receive, caplog):
    reception = receive()
    with connected(reception.address) as peer:
        peer.sendall(request(contexts=5000))
        assert peer.recv(1) in (b"\x02", ABORT)
    still_serves(reception, caplog)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    "sent",
    [
        fragment(3, command(kind=0x7777)),
        fragment(3, b"no command at all"),
        fragment(3, b""),
        fragment(2, IMAGE),
        fragment(3, command(), context=77) + fragment(2, IMAGE, context=77),
        fragment(3, command(b"1." * 500)) + fragment(2, IMAGE),
        pdu(4, struct.pack(">LBB", 0xFFFFFFFF, 1, 3)),
        pdu(4, struct.pack(">LB", 1, 1)),
        fragment(1, bytes(60000)) * 3,
        struct.pack(">BBL", 4, 0, 0xFFFFFFF0) + bytes(100),
    ],
    ids=lambda sent: f"{len(sent)} bytes",
)
def test_what_is_no_request_to_store_ends_the_association_without_a_traceback(receive, caplog, sent):
    reception = receive()
    with connected(reception.address) as peer:
        peer.sendall(request())
        assert peer.recv(1) == b"\x02"  # accepted
        peer.sendall(sent)
        end(peer)
    still_serves(reception, caplog)
    assert in_spool(reception) == [] or len(in_spool(reception)) <= 2


@pytest.mark.parametrize("uid", [b"../../x", b"/etc/passwd", b"", b"1.2\x00.3", "1.ü".encode()])
def test_a_uid_becomes_no_path(receive, tmp_path, uid):
    reception = receive(hold=True)
    with connected(reception.address) as peer:
        peer.sendall(request())
        peer.recv(4096)
        peer.sendall(fragment(3, command(uid)) + fragment(2, IMAGE))
        assert peer.recv(1) in (b"\x04", ABORT, b"")  # answered, well or not
    names = {path.name for path in tmp_path.rglob("*")}
    assert all(re.fullmatch(r"spool|\.lock|000000001-[0-9a-f]{8}\.dcm", name) for name in names)


def test_a_silent_peer_holds_up_nobody(receive, caplog):
    reception = receive()
    with connected(reception.address), connected(reception.address) as halfway:
        halfway.sendall(request()[:50])
        still_serves(reception, caplog)


def test_a_crowd_that_asks_for_nothing_makes_room_at_once_and_is_named_in_one_line(receive, caplog):
    reception = receive()
    with ExitStack() as crowd:
        idle = [crowd.enter_context(connected(reception.address)) for _ in range(3 * MOST)]
        send(RUN[:1], reception.address)
        assert reception.came(1) == [1]
        assert end(idle[0]) == b""  # the oldest were hung up on
        assert caplog.messages == ["more connections than can be served ask for no association: the oldest are closed"]
        idle[-1].sendall(request())
        assert idle[-1].recv(1) == b"\x02"  # the youngest were not


@pytest.mark.parametrize("begun", [b"", request()[:50]], ids=["nothing", "a part of the request"])
def test_who_asks_for_no_association_in_time_is_hung_up_on(receive, caplog, begun):
    clock = ManualClock()
    reception = receive(clock=clock)
    with connected(reception.address) as slow, connected(reception.address) as in_time:
        slow.sendall(begun)
        in_time.sendall(request())
        assert in_time.recv(1) == b"\x02"
        clock.advance(ARTIM)
        assert end(slow) == b""
        in_time.sendall(fragment(3, command()) + fragment(2, IMAGE))
        reception.came(1)
    assert f"connections that ask for no association within {ARTIM:g} s are closed" in caplog.messages


def test_who_was_rejected_and_stays_is_hung_up_on(receive):
    clock = ManualClock()
    reception = receive(clock=clock, allowed_aets=frozenset({"PRISMA"}))
    with connected(reception.address) as stranger:
        stranger.sendall(request() + pdu(4, bytes(100))[:50])  # never sends the rest, and never hangs up
        stranger.settimeout(0.05)

        def is_hung_up_on() -> bool:
            clock.advance(ARTIM)
            try:
                end(stranger)
            except TimeoutError:
                return False
            return True

        reception.until(is_hung_up_on)


LIMIT_EXCEEDED = REJECT + bytes([0, 0, 0, 0, 4, 0, 2, 3, 2])  # transient, local limit exceeded


def test_associations_beyond_the_most_are_rejected_for_now(receive, caplog):
    reception = receive()
    hosts = ["127.0.0.1"] * MOST_OF_ONE + ["127.0.0.2"] * (MOST - MOST_OF_ONE)
    with ExitStack() as others:
        peers = [others.enter_context(connected(reception.address, host)) for host in hosts]
        for peer in peers:
            peer.sendall(request())
            assert peer.recv(1) == b"\x02"
        with connected(reception.address, "127.0.0.3") as late:
            late.sendall(request())
            assert late.recv(10) == LIMIT_EXCEEDED
        assert f"an association was turned away: {MOST} are open already" in caplog.messages
        peers[0].recv(4096)
        peers[0].sendall(pdu(5, bytes(4)))  # released
        assert end(peers[0])[:1] == b"\x06"
        with connected(reception.address, "127.0.0.3") as next_one:
            next_one.sendall(request())
            assert next_one.recv(1) == b"\x02"


def test_one_address_leaves_room_for_others(receive, caplog):
    reception = receive()
    with ExitStack() as others:
        for _ in range(MOST_OF_ONE):
            peer = others.enter_context(connected(reception.address))
            peer.sendall(request())
            assert peer.recv(1) == b"\x02"
        with connected(reception.address) as late:
            late.sendall(request())
            assert late.recv(10) == LIMIT_EXCEEDED
        with connected(reception.address, "127.0.0.2") as another:
            another.sendall(request())
            assert another.recv(1) == b"\x02"
    assert f"an association was turned away: {MOST_OF_ONE} from its address are open already" in caplog.messages


def test_an_image_that_is_too_long_is_refused_with_its_status_and_named(receive):
    reception = receive(longest=len(IMAGE) + 1000)
    large = dcmread(BytesIO(RUN[0]))
    large.add_new(0x00091010, "OB", bytes(400_000))
    content = BytesIO()
    dcmwrite(content, large)
    with Sender(reception.address) as sender:
        with pytest.raises(BadData, match="status 0xC000"):
            sender.send(content.getvalue())
        sender.send(RUN[1])
    assert reception.came(1) == [2]
    assert reception.faults == [f"image 1 from the network: longer than {len(IMAGE) + 1000} bytes"]


def altered(**elements: object) -> bytes:
    """Return an image whose dataset says other things than its association did."""
    file = dcmread(BytesIO(RUN[0]))
    for keyword, value in elements.items():
        setattr(file, keyword, value)
    content = BytesIO()
    dcmwrite(content, file)
    return dataset_of(content.getvalue())


@pytest.mark.parametrize(
    ("dataset", "status", "why"),
    [
        (altered(SOPClassUID=CAPTURE), 0xA900, "sent as an MR image, and is none (Secondary Capture Image Storage)"),
        (altered(SOPInstanceUID=""), 0xC000, "its SOP Instance UID is missing or empty"),
        (IMAGE[:200], 0xC000, "ends"),
        (b"\xff" * 3000, 0xC000, ""),
        (b"", 0xC000, ""),
    ],
    ids=["another class", "no UID", "truncated", "garbage", "nothing"],
)
def test_a_dataset_that_is_not_what_was_agreed_is_refused_and_named(receive, caplog, dataset, status, why):
    reception = receive()
    with connected(reception.address) as peer:
        peer.sendall(request())
        peer.recv(4096)
        peer.sendall(fragment(3, command()) + fragment(2, dataset))
        answer = peer.recv(4096)
    tag = struct.pack("<HHL", 0, 0x900, 2)
    assert answer[answer.index(tag) + 8 :][:2] == struct.pack("<H", status)
    (fault,) = reception.faults
    assert fault.startswith("image 1 from the network: ")
    assert why in fault
    assert len(caplog.messages[-1].splitlines()) == 1
    still_serves(reception, caplog)
