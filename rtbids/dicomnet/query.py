"""What a receiver has: questions at the level of images (C-FIND; PS3.4, C.4.1)."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from rtbids.dicomnet import statuses
from rtbids.dicomnet.caller import Caller, MayNotQuery
from rtbids.dicomnet.sender import NoRoom
from rtbids.errors import BadData

STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT = "1.2.840.10008.1.2"  # what everybody speaks (PS3.5, 10.1)
QUERY = (STUDY_ROOT, IMPLICIT)  # to be offered by a caller who will ask
_PENDING = (0xFF00, 0xFF01)
_NOT_AUTHORISED = 0x0124


def instances(caller: Caller, study: str, series: str, among: str = "") -> set[str]:
    r"""Return the SOP Instance UIDs that the receiver has of a series, all of them or those of `among`, joined by ``\``.

    Raises
    ------
    BadData
        It does not answer such a question.
    MayNotQuery
        It does not let us.
    NoRoom
        It may answer it later.
    ConnectionLost
        The association has ended, or the answer did not come.
    """
    return set(filter(None, (_uid(found) for found in _found(caller, study, series, among))))


def _found(caller: Caller, study: str, series: str, among: str) -> Iterator[bytes]:
    if QUERY not in caller.contexts:
        raise BadData(f"{caller.address} takes no queries (C-FIND, Study Root)")
    number = caller.number()
    caller.say(_question(number, _identifier(study, series, among), caller))
    while True:
        said = caller.answer(number, "what images it has")
        if said.Status not in _PENDING:
            break
        yield b"" if said.Identifier is None else said.Identifier.getvalue()
    if statuses.is_full(int(said.Status)):
        raise NoRoom(f"{caller.address} is out of resources and answers no queries now (status 0x{int(said.Status):04X})")
    if said.Status == _NOT_AUTHORISED:
        raise MayNotQuery(f"{caller.address} does not let our AE title query (C-FIND, status 0x0124)")
    if said.Status:
        raise BadData(f"{caller.address} did not answer a query: status 0x{int(said.Status):04X}")


def _question(number: int, identifier: bytes, caller: Caller) -> Iterator[Any]:
    from pynetdicom.dimse_messages import C_FIND_RQ
    from pynetdicom.dimse_primitives import C_FIND

    request = C_FIND()
    request.MessageID = number
    request.AffectedSOPClassUID = STUDY_ROOT
    request.Priority = 0  # medium
    request.Identifier = BytesIO(identifier)
    message = C_FIND_RQ()
    message.primitive_to_message(request)
    parts: Iterator[Any] = message.encode_msg(caller.contexts[QUERY], caller.longest)
    return parts


def _identifier(study: str, series: str, among: str) -> bytes:
    from pydicom import Dataset
    from pynetdicom.dsutils import encode

    asked = Dataset()
    asked.QueryRetrieveLevel = "IMAGE"
    asked.StudyInstanceUID, asked.SeriesInstanceUID = study, series
    asked.SOPInstanceUID = among.split("\\") if among else ""
    return encode(asked, is_implicit_vr=True, is_little_endian=True) or b""


def _uid(identifier: bytes) -> str:
    """Return the SOP Instance UID of an answer; empty where it has none, or is no dataset."""
    from pynetdicom.dsutils import decode

    try:
        return str(decode(BytesIO(identifier), True, True).get("SOPInstanceUID", ""))
    except Exception:  # foreign bytes, and parsers raise whatever they stumble over
        return ""
