"""New UIDs, patient IDs and date shifts from the old ones: keyed, so that no table of who was who has to be kept."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from rtbids.errors import BadData, CannotWrite, InputMissing, UsageFault, cannot_write

_BYTES = 32
_MARK = "rtbids site key 1 "
_LEAST_SHIFT, _SPAN = 64_000, 9_131  # days: 2100 comes to lie in 1925, and patients up to 25 years apart
_NEW_KEY = "put back its copy; a site that never had one makes it, once: rtbids deidentify --new-key"


@dataclass(frozen=True, repr=False)
class Key:
    """The secret of a site. Who has it and a list of patients can tell who was who: it is owner-only and never shown."""

    secret: bytes

    @classmethod
    def load(cls, path: Path) -> Key:
        """Read a key; one that is missing is never made silently, for all that was mapped before would lose its connection."""
        try:
            with path.open("rb") as file:
                _check_owner_only(path, os.fstat(file.fileno()))
                return cls(_secret(file.read(4096), path))
        except FileNotFoundError:
            raise InputMissing(f"no site key at {path}", _NEW_KEY) from None
        except OSError as error:
            hint = (
                "it must belong to whoever runs rtbids: chown, then chmod 600" if isinstance(error, PermissionError) else None
            )
            raise InputMissing(f"the site key at {path} cannot be read: {error.strerror or error}", hint) from None

    @classmethod
    def make(cls, path: Path) -> Key:
        """Make a new key at `path`, readable by its owner only; one that is there is never written over."""
        key = cls(secrets.token_bytes(_BYTES))
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(path, f"{_MARK}{key.secret.hex()}\n".encode())
        except FileExistsError:
            hint = "go on with it, without --new-key; another key would make other people of all patients"
            raise CannotWrite(f"there is a site key at {path} already; it is not written over", hint) from None
        except OSError as error:
            raise cannot_write(str(path), error) from None
        return key

    @property
    def fingerprint(self) -> str:
        """Return what tells one key from another, and nothing else of either."""
        return _digest(self.secret, "fingerprint", "")[:4].hex()


def key_path() -> Path:
    """Return where the site key is: $RTBIDS_SITE_KEY, else site.key in the user's configuration folder."""
    if given := os.environ.get("RTBIDS_SITE_KEY"):
        return Path(given)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "rtbids", "site.key")


@dataclass(frozen=True)
class Identifiers:
    """What a service or the user gives in place of keyed values."""

    patient: str
    accession: str | None = None
    shift_days: int | None = None


@dataclass(frozen=True)
class Mapping:
    """From old to new: the same key gives the same answers in any process, on any machine, on any day."""

    key: Key
    identifiers: Callable[[str, str], Identifiers | None] | None = None

    def uid(self, old: str) -> str:
        """Return the new UID: ``2.25.`` and the number of a version 8 UUID (RFC 9562) made of the keyed digest."""
        return _uid(self.key.secret, old)

    def patient(self, old_id: str) -> str:
        """Return the new patient ID."""
        return "P" + _digest(self.key.secret, "patient", old_id)[:8].hex().upper()

    def shift(self, old_id: str) -> int:
        """Return by how many days the dates of a patient move: back by 175 to 200 years, to 1925 or earlier as BIDS wants."""
        return -(_LEAST_SHIFT + int.from_bytes(_digest(self.key.secret, "shift", old_id)[:8], "big") % _SPAN)

    def with_identifiers(self, identifiers: Callable[[str, str], Identifiers | None]) -> Mapping:
        """Return a mapping that asks for the replacements of (patient ID, accession number); None leaves the keyed ones."""
        return replace(self, identifiers=identifiers)


@lru_cache(1 << 15)
def _uid(secret: bytes, old: str) -> str:
    number = bytearray(_digest(secret, "uid", old)[:16])
    number[6] = 0x80 | number[6] & 0x0F
    number[8] = 0x80 | number[8] & 0x3F
    return f"2.25.{int.from_bytes(number, 'big')}"


def _digest(secret: bytes, kind: str, old: str) -> bytes:
    return hmac.digest(secret, f"{kind}\0{old}".encode(), hashlib.sha256)


def _check_owner_only(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UsageFault(f"the site key {path} is no file")
    if status.st_mode & 0o077:
        raise UsageFault(f"the site key {path} can be read by others than its owner", f"chmod 600 {path}")


def _secret(content: bytes, path: Path) -> bytes:
    text = content.decode("ascii", "replace").strip()
    try:
        secret = bytes.fromhex(text.removeprefix(_MARK)) if text.startswith(_MARK) else b""
    except ValueError:
        secret = b""
    if len(secret) != _BYTES:
        raise BadData(f"{path} is no site key, or a damaged one", "put back its copy; a new key gives everyone new identifiers")
    return secret


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, wholly on disk before it has its name."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)  # unlike a rename this does not write over
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
