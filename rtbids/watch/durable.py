"""Files that outlast the process, and with `fsync` the power: whole and under their names before anybody is told so.

Where an fsync of a file takes its name along (`NAMED_WITH_DATA`), a file gets its name first, and one fsync does. What a power
cut leaves may then have a name and not all of its bytes: so the name holds their checksum, and says whether the file is what
was written. Nobody was told that one is stored which is not. A kill leaves no such file: what was written before it is the
system's to put on the disk, and what was not finished has no name that counts.
"""

from __future__ import annotations

import os
import re
import zlib
from contextlib import suppress
from pathlib import Path

from rtbids.errors import BadData
from rtbids.stream.wire import Buffer
from rtbids.watch import mounts

# An fsync of a file that was renamed puts its new name on the disk too:
# - ext4: the rename dates the inode and enters the name in one transaction (ext4_rename, fs/ext4/namei.c); fsync waits until
#   the inode's last one is committed (i_sync_tid in ext4_fsync_journal, fs/ext4/fsync.c). Without a journal the name that is
#   entered marks the inode (EXT4_STATE_NEWENTRY in ext4_add_entry), and fsync then writes the folder too (ext4_sync_parent).
# - xfs: one transaction logs the names and the inode ("We always want to hit the ctime on the source inode" in xfs_rename), and
#   fsync forces the log up to the inode's last (xfs_file_fsync).
# - btrfs: a rename notes in the inode that its names are to be logged, and fsync logs them ("Btrfs: sync log after logging new
#   name", Linux 4.19: "the same behaviour as ext4, xfs and f2fs"); RocksDB relies on it (PosixDirectory::FsyncWithDirOptions).
# POSIX promises nothing of it: anywhere else file and folder are put there one after the other.
NAMED_WITH_DATA = frozenset(("ext4", "xfs", "btrfs"))
_BLOCK = 1 << 20  # bytes
_SUM = re.compile(r"\d+-([0-9a-f]{8})\.dcm")


def name(number: int, digits: int, content: Buffer) -> str:
    """Return the name of the file that holds such an image: a number, and the checksum of its bytes."""
    return f"{number:0{digits}d}-{zlib.crc32(content):08x}.dcm"


def check(path: Path) -> None:
    """Raise BadData where a file does not hold what its name says; one that says nothing of it is taken at its word."""
    found = _SUM.fullmatch(path.name)
    if found is not None and _sum(path) != int(found[1], 16):
        raise BadData(
            f"{path.name}: its bytes are not those that came (the power went before it was stored, and its sender was not told "
            "so, or the disk is damaged)"
        )


def sweep(folder: Path) -> None:
    """Remove what is left of files of which nobody was told, and that hold nothing that could be kept."""
    for part in folder.glob(".*.dcm.part"):
        part.unlink(missing_ok=True)
    for path in folder.glob("*.dcm"):
        if _SUM.fullmatch(path.name) and path.stat().st_size == 0:
            path.unlink()


def _sum(path: Path) -> int:
    found = 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            found = zlib.crc32(block, found)
    return found


def names_come_with_data(folder: Path) -> bool:
    """Say whether an fsync of a file in this folder puts its name on the disk too."""
    try:
        return mounts.filesystem(folder.resolve(), mounts.MOUNTS.read_text()) in NAMED_WITH_DATA
    except OSError:
        return False


def write(content: Buffer, path: Path, *, fsync: bool, together: bool = False) -> None:
    """Write a file for its owner only, so that it is there whole or not at all; with `fsync` on the disk itself.

    Parameters
    ----------
    together
        What `names_come_with_data` says of its folder.
    """
    hidden = path.with_name(f".{path.name}.part")
    try:
        with open(hidden, "xb", buffering=0, opener=_for_owner) as file:
            _write_all(file.fileno(), content)
            if fsync and not together:
                os.fsync(file.fileno())
            hidden.rename(path)
            if fsync and together:
                os.fsync(file.fileno())
        if fsync and not together:
            sync_folder(path.parent)
    except OSError:  # its sender is told that it was refused, and sends it again
        for made in (hidden, path):
            with suppress(OSError):
                made.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _write_all(descriptor: int, content: Buffer) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
