"""Addresses on DICOM's network, and a sender to whom nobody listens."""

from __future__ import annotations

import socket

import pytest

from rtbids.dicomnet import Address, Sender, parse
from rtbids.errors import BadData, ConnectionLost, UsageFault


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
