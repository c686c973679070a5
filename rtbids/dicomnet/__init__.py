"""DICOM's network, both ends: addresses, sockets that answer at once, and a sender of files (C-STORE).

A store is a question and an answer. With Nagle's algorithm, which every DICOM library leaves on, the answer's last packet waits
for an acknowledgement that the other side delays by 40 ms: ``TCP_NODELAY`` on both ends takes a file from 45 to 2 ms.
"""

from rtbids.dicomnet.address import AE_TITLE, PORT, Address, ae_title, parse
from rtbids.dicomnet.association import COMPRESSED, MAXIMUM_PDU, MR, SILENCE, UNCOMPRESSED, be_prompt, entity
from rtbids.dicomnet.caller import Caller, MayNotQuery, NotWanted
from rtbids.dicomnet.sender import NoRoom, Sender
from rtbids.dicomnet.tls import client_tls, server_tls

__all__ = [
    "AE_TITLE",
    "COMPRESSED",
    "MAXIMUM_PDU",
    "MR",
    "PORT",
    "SILENCE",
    "UNCOMPRESSED",
    "Address",
    "Caller",
    "MayNotQuery",
    "NoRoom",
    "NotWanted",
    "Sender",
    "ae_title",
    "be_prompt",
    "client_tls",
    "entity",
    "parse",
    "server_tls",
]
