"""A storage SCP on a port of its own, and senders of every sort: ours, pynetdicom's, and bare sockets that break off."""

from __future__ import annotations

import errno
import gc
import ipaddress
import logging
import os
import socket
import ssl
import stat
import threading
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pynetdicom
import pytest
from certificates import certified
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom.pdu_primitives import P_DATA
from reception import LONG, MR, RUN, dataset_of, in_spool, send

from rtbids import dicomnet
from rtbids.clock import CLOCK, ManualClock
from rtbids.dicomnet import Address, Sender
from rtbids.errors import BadData, CannotWrite, ConnectionLost, InputMissing, UsageFault
from rtbids.receipt import hold, settle
from rtbids.watch import durable
from rtbids.watch.associations import networks
from rtbids.watch.callers import ARTIM
from rtbids.watch.spool import Spool
from rtbids.watch.storage_scp import instances

pytestmark = pytest.mark.alone


def test_images_come_as_they_were_sent_with_a_header_that_says_what_they_are(receive):
    reception = receive()
    begin = CLOCK.now()
    send(RUN, reception.address)
    assert reception.came(6) == [1, 2, 3, 4, 5, 6]
    for sent, came, received in zip(RUN, reception.contents, reception.received, strict=True):
        assert dataset_of(came) == dataset_of(sent)  # not encoded anew: byte for byte
        meta, original = dcmread(BytesIO(came)).file_meta, dcmread(BytesIO(sent)).file_meta
        for keyword in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID"):
            assert meta[keyword].value == original[keyword].value
        assert begin < received < CLOCK.now()
    assert all(reception.paced)


def test_the_spool_is_the_owners_alone_and_empty_when_all_is_taken(receive):
    reception = receive(hold=True)
    send(RUN[:3], reception.address)
    reception.came(1)
    assert stat.S_IMODE(reception.spool.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in in_spool(reception)} == {0o600}
    assert len(in_spool(reception)) >= 2  # stored, and not taken
    reception.taking.set()
    reception.came(3)
    reception.stop()
    assert in_spool(reception) == []


@pytest.mark.parametrize("fsync", [False, True])
def test_success_is_answered_when_the_image_is_in_the_spool(receive, fsync):
    reception = receive(hold=True, fsync=fsync)
    with Sender(reception.address) as sender:
        for count, content in enumerate(RUN, 1):
            sender.send(content)
            stored = {dataset_of(path.read_bytes()) for path in in_spool(reception)}
            assert stored | {dataset_of(c) for c in reception.contents} == {dataset_of(c) for c in RUN[:count]}


def test_echo_is_answered(receive):
    application = pynetdicom.AE("CONSOLE")
    application.add_requested_context("1.2.840.10008.1.1")
    association = application.associate("127.0.0.1", receive().address.port, ae_title="RTBIDS")
    assert association.send_c_echo().Status == 0x0000
    association.release()


def test_associations_are_served_side_by_side(receive):
    reception = receive()
    with Sender(reception.address) as one, Sender(reception.address) as other:
        for left, right in zip(RUN[:3], RUN[3:], strict=True):
            one.send(left)
            other.send(right)
    assert reception.came(6) == [1, 4, 2, 5, 3, 6]


def test_associations_that_are_over_leave_nothing_open(receive):
    reception = receive()
    gc.disable()  # or what they leave to it may be cleared away in the middle
    try:
        send(RUN[:1], reception.address)
        before = len(os.listdir("/dev/fd"))
        for _ in range(8):
            send(RUN[:1], reception.address)
        end = CLOCK.now() + LONG
        while len(os.listdir("/dev/fd")) > before + 6 and CLOCK.now() < end:  # the last threads are on their way out
            pass
        assert len(os.listdir("/dev/fd")) <= before + 6
    finally:
        gc.enable()


def test_many_senders_at_a_time_lose_nothing(receive):
    reception = receive()
    threads = [threading.Thread(target=send, args=([content], reception.address)) for content in RUN]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert sorted(reception.came(6)) == [1, 2, 3, 4, 5, 6]


def test_an_image_sent_twice_is_taken_once_and_the_sender_is_content(receive, caplog):
    reception = receive()
    with caplog.at_level(logging.WARNING, "rtbids"):
        send([RUN[0], RUN[0], RUN[1]], reception.address)
        assert reception.came(2) == [1, 2]
        reception.stop()
    assert reception.numbers == [1, 2]
    assert caplog.messages == ["left out: image 2 from the network: a copy of an image already taken"]
    assert reception.faults == ["image 2 from the network: a copy of an image already taken"]


def test_a_class_that_is_not_mr_is_refused_with_its_status_and_the_association_goes_on(receive, caplog):
    reception = receive()
    capture = dcmread(BytesIO(RUN[0]))
    capture.SOPClassUID = capture.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    buffer = BytesIO()
    capture.save_as(buffer)
    with caplog.at_level(logging.WARNING, "rtbids"), Sender(reception.address, files=[buffer.getvalue()]) as sender:
        for _ in range(2):  # said once
            with pytest.raises(BadData, match="status 0x0122"):
                sender.send(buffer.getvalue())
        sender.send(RUN[0])
    assert reception.came(1) == [1]
    expected = "images from the network: no MR images (Secondary Capture Image Storage)"
    assert caplog.messages == [f"left out: {expected}"]


def test_a_class_that_nobody_knows_is_not_agreed_on(receive):
    private = dcmread(BytesIO(RUN[0]))
    private.SOPClassUID = private.file_meta.MediaStorageSOPClassUID = "1.3.12.2.1107.5.9.99"
    buffer = BytesIO()
    private.save_as(buffer)
    reception = receive()
    with Sender(reception.address, files=[buffer.getvalue()]) as sender:
        with pytest.raises(BadData, match=r"does not take 1\.3\.12"):
            sender.send(buffer.getvalue())
        sender.send(RUN[0])
    assert reception.came(1) == [1]


def test_what_cannot_be_read_is_not_acknowledged(receive, caplog):
    reception = receive()
    short = dcmread(BytesIO(RUN[0]))
    short.PixelData = short.PixelData[:100]
    buffer = BytesIO()
    short.save_as(buffer)
    with Sender(reception.address) as sender:
        with pytest.raises(BadData, match="status 0xC000"):
            sender.send(buffer.getvalue())
        sender.send(RUN[0])
    assert reception.came(1) == [1]
    assert reception.faults == ["image 1 from the network: the pixel data end after 100 of 4608 bytes"]


def test_a_sender_that_calls_somebody_else_is_turned_away(receive, caplog):
    reception = receive()
    stranger = Address("PACS", "127.0.0.1", reception.address.port)
    with caplog.at_level(logging.WARNING, "rtbids"):
        with pytest.raises(ConnectionLost, match="Called AE title not recognised"):
            Sender(stranger).__enter__()
        reception.until(lambda: bool(caplog.messages))  # it is said after the sender has its answer
    assert caplog.messages == ["an association was turned away: it called an AE title that is not ours"]


def test_only_the_titles_allowed_may_send_and_a_warning_names_nobody(receive, caplog):
    reception = receive(allowed_aets=frozenset({"PRISMA"}))
    with caplog.at_level(logging.WARNING, "rtbids"):
        for _ in range(2):  # said once
            with pytest.raises(ConnectionLost, match="Calling AE title not recognised"):
                Sender(reception.address, calling="SMITH^JOHN").__enter__()
        send(RUN[:1], reception.address, calling="PRISMA")
    assert reception.came(1) == [1]
    assert caplog.messages == ["an association was turned away: its AE title is not among those allowed"]


def test_only_the_hosts_allowed_may_send(receive, caplog):
    reception = receive(allowed_hosts=networks(("10.1.0.0/16",)))
    with caplog.at_level(logging.WARNING, "rtbids"), pytest.raises(ConnectionLost):
        Sender(reception.address).__enter__()
    assert caplog.messages == ["an association was turned away: its address is not among those allowed"]
    other = receive(spool=reception.spool.with_name("other"), allowed_hosts=networks(("localhost", "10.1.0.0/16")))
    send(RUN[:1], other.address)
    assert other.came(1) == [1]


def test_hosts_are_addresses_networks_and_names():
    assert networks(("10.1.2.3/16", "::1")) == {ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("::1")}
    with pytest.raises(UsageFault, match="a host's name, found 'no such host'"):
        networks(("no such host",))


def broken_off(address: Address, share: float) -> None:
    """Send part of an image, and vanish."""
    with Sender(address) as sender:
        association = sender._association
        context = next(c for c in association.accepted_contexts if c.abstract_syntax == MR)
        request = pynetdicom.dimse_primitives.C_STORE()
        request.MessageID, request.Priority = 1, 0
        request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = MR, "1.2.3"
        request.DataSet = BytesIO(dataset_of(RUN[0]))
        message = pynetdicom.dimse_messages.C_STORE_RQ()
        message.primitive_to_message(request)
        parts: list[P_DATA] = list(message.encode_msg(context.context_id, 1024))
        gone = threading.Event()
        some = parts[: max(1, int(share * len(parts)))]
        left = iter(range(len(some) - 1, -1, -1))  # to be sent after each event
        association.bind(pynetdicom.evt.EVT_DATA_SENT, lambda event: None if next(left) else gone.set())
        for part in some:
            association.dul.send_pdu(part)
        assert gone.wait(LONG)
        association.dul.socket.socket.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_an_image_whose_association_breaks_off_is_left_out_with_one_warning(receive, caplog, share):
    reception = receive()
    with caplog.at_level(logging.WARNING, "rtbids"):
        send(RUN[:1], reception.address)
        broken_off(reception.address, share)
        reception.until(lambda: bool(reception.faults))
        send(RUN[1:2], reception.address)
        assert reception.came(2) == [1, 2]
        reception.stop()
    assert reception.numbers == [1, 2]
    assert caplog.messages == ["left out: an image from the network: its association broke off in the middle of it"]
    assert in_spool(reception) == []


def test_senders_wait_where_nobody_takes_the_images_and_nothing_is_lost(receive, caplog):
    reception = receive(hold=True, backlog=3 * len(RUN[0]))
    sender = threading.Thread(target=send, args=(RUN, reception.address), daemon=True)
    with caplog.at_level(logging.WARNING, "rtbids"):
        sender.start()
        reception.until(lambda: bool(caplog.messages))
    assert reception.numbers == [1]
    assert len(in_spool(reception)) <= 3
    assert sender.is_alive()  # held, not refused
    assert caplog.messages == ["images come faster than they are taken and the spool is full: senders wait"]
    reception.taking.set()
    sender.join(LONG)
    assert reception.came(6) == [1, 2, 3, 4, 5, 6]


def test_the_end_does_not_wait_for_a_sender_that_is_held(receive):
    reception = receive(hold=True, backlog=1)

    def send_in_vain() -> None:
        with pytest.raises((BadData, ConnectionLost)):
            send(RUN, reception.address)

    sender = threading.Thread(target=send_in_vain, daemon=True)
    sender.start()
    reception.came(1)
    reception.stop()
    sender.join(LONG)
    assert not sender.is_alive()


def test_images_that_were_stored_are_handed_out_after_the_stop_too(receive):
    reception = receive(hold=True)
    send(RUN, reception.address)
    reception.stop()
    assert reception.numbers == [1, 2, 3, 4, 5, 6]


def test_what_a_process_left_in_the_spool_comes_first_at_the_next_start(receive, tmp_path):
    reception = receive(hold=True)
    send(RUN[:3], reception.address)
    reception.came(1)
    left = [path.read_bytes() for path in in_spool(reception)][-2:]
    reception.stop()
    other = tmp_path / "left"
    other.mkdir()
    for number, content in enumerate(left, 10):
        (other / f"{number:09d}.dcm").write_bytes(content)
    (other / ".000000012.dcm.part").write_bytes(left[0][:100])  # never acknowledged
    (other / "notes.txt").write_text("not ours")
    again = receive(spool=other)
    send(RUN[3:], again.address)
    assert again.came(5) == [2, 3, 4, 5, 6]
    assert again.paced == [False, False, True, True, True]
    again.stop()
    assert [path.name for path in other.iterdir() if path.name != ".lock"] == ["notes.txt"]


def test_the_spool_is_what_is_there_without_waiting(tmp_path):
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / "000000007.dcm").write_bytes(RUN[0])
    (spool / "000000008.dcm").write_bytes(b"damaged by the disk")
    address = Address("RTBIDS", "127.0.0.1", 0)
    faults: list[str] = []
    assert len(list(instances(address, spool=spool, wait=False, existing=False))) == 0
    (found,) = instances(address, spool=spool, wait=False, faults=faults)
    settle(found.receipts)
    assert [path.name for path in spool.iterdir() if path.name != ".lock"] == ["000000008.dcm"]  # never thrown away
    assert faults == [
        "000000008.dcm: not a DICOM file (no DICM mark at byte 128, no DICOM element at byte 0) (it stays in the spool)"
    ]


def test_an_instance_leaves_the_spool_when_its_receipt_is_settled_and_never_for_being_forgotten(tmp_path):
    spool = tmp_path / "spool"
    spool.mkdir()
    for number, content in enumerate(RUN[:3], 1):
        (spool / f"{number:09d}.dcm").write_bytes(content)
    source = instances(Address("RTBIDS", "127.0.0.1", 0), spool=spool, wait=False)
    taken = [next(source), next(source)]
    assert len(list(spool.glob("*.dcm"))) == 3
    hold(taken[0].receipts)  # two volumes are made of it
    for left in (3, 2):
        settle(taken[0].receipts)
        assert len(list(spool.glob("*.dcm"))) == left
    taken.clear()
    source.close()
    assert len(list(spool.glob("*.dcm"))) == 2


def test_it_ends_when_nothing_has_come_for_long_enough(receive):
    reception = receive(idle_timeout=0.3)
    send(RUN[:2], reception.address)
    reception.ended()
    assert reception.numbers == [1, 2]


def test_a_port_that_is_taken_is_said_in_one_line(receive, tmp_path):
    taken = receive().address
    with pytest.raises(CannotWrite, match=rf"cannot listen on 127.0.0.1:{taken.port}: address already in use"):
        next(instances(taken, spool=tmp_path / "other"))


def test_an_address_that_is_not_this_machines_is_said_in_one_line(tmp_path):
    with pytest.raises(CannotWrite, match=r"cannot listen on 192\.0\.2\.1:11112: cannot assign requested address"):
        next(instances(Address("RTBIDS", "192.0.2.1", 11112), spool=tmp_path / "spool"))


def test_two_receivers_do_not_share_a_spool(receive):
    reception = receive()
    with pytest.raises(CannotWrite, match="another rtbids receives into this spool"):
        next(instances(Address("RTBIDS", "127.0.0.1", 0), spool=reception.spool))


def test_a_spool_that_cannot_be_made_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match=r"cannot write .*file/spool: Not a directory"):
        next(instances(Address("RTBIDS", "127.0.0.1", 0), spool=tmp_path / "file" / "spool"))


@pytest.mark.skipif(not Path("/dev/full").exists() or os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_an_image_that_a_full_disk_does_not_take_is_not_acknowledged(receive, tmp_path, caplog):
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        reception = receive(spool=disk / "spool", hold=True)
        with pytest.raises(ConnectionLost, match="status 0xA700"):
            send(RUN, reception.address)
        stored = len(in_spool(reception))
        reception.stop()
        assert len(reception.numbers) == stored == 2
        assert "the spool cannot be written, and images are refused: No space left on device" in caplog.messages
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_handshake_that_is_never_ended_is_hung_up_on(receive, tmp_path):
    clock = ManualClock()
    reception = receive(clock=clock, tls=dicomnet.server_tls(*certified(tmp_path), None))
    with socket.create_connection(("127.0.0.1", reception.address.port), LONG) as silent:
        silent.sendall(b"\x16\x03\x01")  # the begin of TLS's first record
        silent.settimeout(0.05)

        def is_hung_up_on() -> bool:
            clock.advance(ARTIM)
            try:
                return silent.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionResetError:
                return True

        reception.until(is_hung_up_on)


def test_tls_encrypts_and_asks_for_a_certificate_where_told_to(receive, tmp_path):
    certificate, key = certified(tmp_path)
    reception = receive(tls=dicomnet.server_tls(certificate, key, certificate))
    assert reception.mode.endswith(", with TLS")
    trusting = ssl.create_default_context(cafile=certificate)
    with socket.create_connection(("127.0.0.1", reception.address.port)), pytest.raises(ConnectionLost):
        Sender(reception.address, tls=trusting).__enter__()  # no certificate of its own; a silent peer holds up nobody
    with pytest.raises(ConnectionLost):
        Sender(reception.address).__enter__()  # not encrypted
    trusting.load_cert_chain(certificate, key)
    send(RUN, reception.address, tls=trusting)
    assert reception.came(6) == [1, 2, 3, 4, 5, 6]


def test_certificates_that_cannot_be_used_are_said_in_one_line(tmp_path):
    certificate, key = certified(tmp_path)
    with pytest.raises(UsageFault, match="--tls-key and --tls-ca need --tls-cert"):
        dicomnet.server_tls(None, key, None)
    with pytest.raises(UsageFault, match="expected a certificate and its key in PEM"):
        dicomnet.server_tls(certificate, None, None)
    with pytest.raises(InputMissing, match=r"ca\.pem: no such file"):
        dicomnet.server_tls(certificate, key, tmp_path / "ca.pem")


def test_both_ends_send_without_waiting_for_more(receive):
    reception = receive()
    with Sender(reception.address) as sender:
        ours = sender._association.dul.socket.socket
        accepted = [thread for thread in threading.enumerate() if "AcceptorThread" in thread.name]
        (theirs,) = [t.dul.socket.socket for t in accepted if t.requestor.port == ours.getsockname()[1]]
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_uncompressed_is_agreed_on_where_a_sender_offers_both(receive):
    application = pynetdicom.AE("CONSOLE")
    application.add_requested_context(MR, ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2", ExplicitVRLittleEndian])
    association = application.associate("127.0.0.1", receive().address.port, ae_title="RTBIDS")
    (context,) = association.accepted_contexts
    association.release()
    assert context.transfer_syntax == [ExplicitVRLittleEndian]


def left_in(spool: Path, *contents: bytes) -> Path:
    spool.mkdir()
    for number, content in enumerate(contents, 1):
        (spool / f"{number:09d}.dcm").write_bytes(content)
    return spool


def test_an_image_that_a_power_cut_has_torn_is_not_handed_out(receive, tmp_path):
    with closing(Spool(tmp_path / "left")) as kept:
        torn, whole = kept.keep(RUN[0]), kept.keep(RUN[1])
    torn.write_bytes(RUN[0][:-4000] + bytes(4000))
    reception = receive(spool=tmp_path / "left")
    assert reception.came(1) == [2]
    reception.stop()
    assert (torn.exists(), whole.exists()) == (True, False)
    assert "its bytes are not those that came" in reception.faults[0]


@pytest.mark.parametrize(("left", "existing"), [(RUN[0], False), (b"damaged by the disk" * 200, True)])
def test_what_stays_in_the_spool_makes_no_sender_wait(receive, tmp_path, left, existing):
    spool = left_in(tmp_path / "left", left)
    reception = receive(spool=spool, existing=existing, backlog=1)
    send(RUN[1:3], reception.address)
    assert reception.came(2) == [2, 3]
    reception.stop()
    assert [path.name for path in in_spool(reception)] == ["000000001.dcm"]


def test_an_image_that_is_kept_nowhere_else_stays_in_the_spool_and_makes_no_sender_wait(tmp_path):
    kept = Spool(tmp_path / "spool", backlog=1)
    path = kept.keep(RUN[0])
    receipt = kept.receipt(path)
    assert kept.is_full(1)
    receipt.abandon()
    receipt.settle()
    assert not kept.is_full(1)
    assert path.read_bytes() == RUN[0]
    kept.close()


@pytest.mark.parametrize("together", [True, False])
def test_an_image_that_the_disk_did_not_confirm_is_refused_and_not_kept(together, tmp_path, monkeypatch):
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(durable, "names_come_with_data", lambda folder: together)
    monkeypatch.setattr(os, "fsync", fail)
    kept = Spool(tmp_path / "spool", backlog=1, fsync=True)
    with pytest.raises(OSError, match="input/output"):
        kept.keep(RUN[0])
    assert list(kept.folder.glob("*.dcm*")) == []
    assert not kept.is_full(1)
    kept.close()
