"""The answer to a store is, byte for byte, the one that pynetdicom makes."""

from types import SimpleNamespace

import pytest
from pynetdicom.dimse_messages import C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE

from rtbids.dicomnet.response import encoded

MR = "1.2.840.10008.5.1.4.1.1.4"


@pytest.mark.parametrize("instance", ["1.2.3", "1.2.34", "2.25." + "1" * 59])
@pytest.mark.parametrize("sop_class", [MR, MR + ".1"])
@pytest.mark.parametrize("status", [0x0000, 0xA700, 0xC000])
@pytest.mark.parametrize("number", [1, 65535])
def test_the_bytes_are_those_of_pynetdicom(instance, sop_class, status, number):
    answer = C_STORE()
    answer.MessageID = answer.MessageIDBeingRespondedTo = number
    answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID, answer.Status = sop_class, instance, status
    theirs = C_STORE_RSP()
    theirs.primitive_to_message(answer)
    (part,) = theirs.encode_msg(1, 16384)
    assert part.presentation_data_value_list[0][1] == b"\x03" + encoded(answer)


def test_what_is_no_uid_is_answered_too():
    answer = SimpleNamespace(MessageIDBeingRespondedTo=1, Status=0xC000, AffectedSOPClassUID=MR, AffectedSOPInstanceUID="1.2.é")
    assert encoded(answer).endswith("1.2.é".encode())
