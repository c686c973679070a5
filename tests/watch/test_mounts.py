"""Which folders are polled: decided from the mount table alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbids.watch.changes import Looking
from rtbids.watch.inotify import Inotify
from rtbids.watch.mounts import changes_of, filesystem, is_share, reason_to_look

TABLE = r"""22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw
27 1 259:1 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:40 / /mnt/scanner rw,relatime shared:9 - cifs //console/export rw,vers=3.0
41 27 0:41 / /mnt/with\040space rw,relatime - nfs4 server:/export rw
42 40 0:42 / /mnt/scanner/local rw,relatime - tmpfs tmpfs rw
43 27 0:43 / /mnt/twice rw,relatime - ext4 /dev/vdb rw
44 27 0:44 / /mnt/twice rw,relatime - fuse.sshfs user@host: rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/someone", "ext4"),
        ("/mnt/scanner", "cifs"),
        ("/mnt/scanner/today/series", "cifs"),
        ("/mnt/scanner-old", "ext4"),
        ("/mnt/scanner/local/x", "tmpfs"),
        ("/mnt/with space/x", "nfs4"),
        ("/mnt/twice", "fuse.sshfs"),  # the later of two mounts hides the earlier
    ],
)
def test_the_innermost_latest_mount_says_the_file_system(folder: str, kind: str) -> None:
    assert filesystem(Path(folder), TABLE) == kind


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph", "lustre", "gpfs"])
def test_shares_are_polled(kind: str) -> None:
    assert is_share(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "fuseblk", "vfat", "nfsd", ""])
def test_local_disks_are_not(kind: str) -> None:
    assert not is_share(kind)


def test_what_is_asked_for_is_done() -> None:
    assert reason_to_look(Path("/proc"), poll=True) == "asked for"
    assert reason_to_look(Path("/proc"), poll=False) is None


def test_a_local_folder_has_events(tmp_path: Path) -> None:
    changes = changes_of(tmp_path, poll=False)
    assert isinstance(changes, Inotify)
    changes.close()


def test_where_no_events_can_be_had_the_folder_is_polled(tmp_path: Path) -> None:
    changes = changes_of(tmp_path / "gone", poll=False)
    assert isinstance(changes, Looking)
    assert changes.mode == "polling every 0.2 s (no folder events here: No such file or directory)"
