"""Addresses on DICOM's network, and a sender to whom nobody listens."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from pynetdicom import AE

from rtbids.dicomnet import Address, NotWanted, Sender, image, parse
from rtbids.errors import BadData, ConnectionLost, UsageFault
from rtbids.replay.mosaic import MosaicSeries


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("dicom-scp://RTBIDS@0.0.0.0:11112", Address("RTBIDS", "0.0.0.0", 11112)),
        ("dicom-scp://:104", Address("RTBIDS", "127.0.0.1", 104)),
        ("dicom-scp://", Address("RTBIDS", "127.0.0.1", 11112)),
        ("dicom-scp://localhost", Address("RTBIDS", "localhost", 11112)),
        ("dicom-scp://MY SCP@[::1]:104", Address("MY SCP", "::1", 104)),
        ("dicom://ORTHANC@pacs.example.org:4242", Address("ORTHANC", "pacs.example.org", 4242)),
    ],
)
def test_an_address_is_title_host_and_port(text, address):
    assert parse(text) == address
    assert parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("dicom://pacs:4242", "expected the receiver's AE title"),
        ("dicom-scp://host:port", "expected dicom-scp://"),
        ("dicom-scp://host:70000", "a port up to 65535, found 70000"),
        ("dicom-scp://A-TITLE-THAT-IS-TOO-LONG@host", "an AE title of 1 to 16 characters"),
        ("dicom-scp://@host", "an AE title of 1 to 16 characters"),
        ("dicom-scp://a@b@host", "expected dicom-scp://"),
        ("http://host", "expected dicom-scp://"),
    ],
)
def test_what_is_no_address_is_said_in_one_line(text, complaint):
    with pytest.raises(UsageFault, match=complaint):
        parse(text)


def test_a_port_where_nobody_listens_is_a_lost_connection():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = Address("PACS", "127.0.0.1", free.getsockname()[1])
        with pytest.raises(ConnectionLost, match="no DICOM receiver answers there"):
            Sender(address).__enter__()


def test_what_is_not_dicom_is_not_offered():
    with pytest.raises(BadData, match="expected a DICOM file"):
        Sender(Address("PACS", "127.0.0.1", 104), files=[b"not DICOM" * 100])


def test_a_receiver_of_other_images_is_said_to_be_one():
    application = AE("CT")
    application.add_supported_context("1.2.840.10008.5.1.4.1.1.2")
    server = application.start_server(("127.0.0.1", 0), block=False)
    try:
        with pytest.raises(NotWanted, match="takes none of the images that we offer"):
            Sender(Address("CT", "127.0.0.1", server.server_address[1])).__enter__()
    finally:
        server.shutdown()


@pytest.mark.filterwarnings("ignore::UserWarning")  # what pydicom says of the damage
@pytest.mark.parametrize("take", [image.taken_apart, image.cut_short, lambda content: image.agreed(content, [])])
def test_damaged_files_are_bad_data_and_nothing_else(take):
    random = np.random.default_rng(7)
    content = MosaicSeries((8, 6, 5), np.diag([3.0, 3.0, 4.0, 1.0]), 2.0, 7).dicom(np.zeros((8, 6, 5), np.int16), 0)
    outcomes = set()
    for _ in range(300):
        damaged = bytearray(content[: random.integers(100, len(content))] if random.random() < 0.2 else content)
        damaged[int(random.integers(0, len(damaged) - 1))] = int(random.integers(256))
        damaged[int(random.integers(0, min(len(damaged), 400)))] = int(random.integers(256))
        try:
            take(bytes(damaged))
            outcomes.add("taken")
        except BadData:
            outcomes.add("refused")
    assert outcomes == {"taken", "refused"}
