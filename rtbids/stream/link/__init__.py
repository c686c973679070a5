"""A link between two machines: each member arrives once and in order, however often the connection is cut.

The bytes of a connection are a tar stream both ways (`rtbids.stream.wire`): a hello, then members, and among them small ones
under ``link/`` for receipts, heartbeats and the end.
"""

from rtbids.stream.link.connection import hear, refuse
from rtbids.stream.link.descriptors import Descriptors
from rtbids.stream.link.dial import dial
from rtbids.stream.link.link import Link
from rtbids.stream.link.protocol import Hello
from rtbids.stream.link.serve import FarLink, serve
from rtbids.stream.link.spool import Spool
from rtbids.stream.link.state import Arrived, State
from rtbids.stream.link.terms import FAR, NEAR, Terms
from rtbids.stream.link.transport import Connect, Transport

__all__ = [
    "FAR",
    "NEAR",
    "Arrived",
    "Connect",
    "Descriptors",
    "FarLink",
    "Hello",
    "Link",
    "Spool",
    "State",
    "Terms",
    "Transport",
    "dial",
    "hear",
    "refuse",
    "serve",
]
