"""Which key a host is known by: the lines of known_hosts files, hashed names, patterns and marks included (sshd(8))."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtbids.errors import StreamBroken, UsageFault

_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}  # how a server names a key of that type today
_HASHED = "|1|"


@dataclass(frozen=True)
class Key:
    """A public key as it stands in a file: its type and its bytes."""

    type: str
    content: bytes

    @property
    def fingerprint(self) -> str:
        """Return ``SHA256:…`` as ``ssh`` shows it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.content).digest()).decode().rstrip("=")


@dataclass(frozen=True)
class Known:
    """A key that a host is known by, and where that is said."""

    key: Key
    place: str
    is_revoked: bool = False


def known(label: str, files: Iterable[Path]) -> list[Known]:
    """Return what `files` say of the host `label` (``host`` or ``[host]:port``); files that are not there say nothing."""
    return [found for file in files for found in _of_file(label, file)]


def _of_file(label: str, file: Path) -> Iterator[Known]:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageFault(f"{file} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        fields = line.split()
        mark = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) < 3 or fields[0].startswith("#") or mark not in ("", "@revoked") or not _names(fields[0], label):
            continue  # keys of authorities are not understood: their hosts are unknown
        try:
            key = Key(fields[1], base64.b64decode(fields[2], validate=True))
        except binascii.Error:
            continue
        yield Known(key, f"{file}:{number}", mark == "@revoked")


def _names(patterns: str, label: str) -> bool:
    if patterns.startswith(_HASHED):
        return _is_hash_of(patterns, label)
    found = False
    for pattern in patterns.lower().split(","):
        if pattern.startswith("!") and _matches(label, pattern[1:]):
            return False
        found = found or _matches(label, pattern)
    return found


def _matches(label: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(label, pattern.replace("[", "[[]"))  # its brackets are no set of characters


def _is_hash_of(text: str, label: str) -> bool:
    """Say whether ``|1|salt|hash`` stands for `label` (HMAC-SHA1, as ``ssh-keygen -H`` makes it)."""
    try:
        salt, digest = (base64.b64decode(part) for part in text.removeprefix(_HASHED).split("|"))
    except ValueError:
        return False
    return hmac.compare_digest(hmac.new(salt, label.encode(), hashlib.sha1).digest(), digest)


def algorithms(found: Sequence[Known], offered: Sequence[str]) -> list[str]:
    """Order the host key algorithms `offered` so that the server shows a key of the sort that it is known by.

    Else a server with several keys would show another than the known one and look changed.
    """
    types = [known.key.type for known in found if not known.is_revoked]
    wanted = [name for type_ in types for name in _SIGNATURES.get(type_, (type_,)) if name in offered]
    return list(dict.fromkeys([*wanted, *offered]))


def check(label: str, key: Key, found: Sequence[Known], files: Sequence[Path], fingerprint: str | None = None) -> None:
    """Raise StreamBroken unless `key` is the one that the host is known by, or has the fingerprint that the user gave."""
    if revoked := next((known for known in found if known.is_revoked and known.key == key), None):
        raise StreamBroken(f"{label} shows a host key that is revoked in {revoked.place}: {key.fingerprint}", _ASK)
    if fingerprint is not None:
        if not hmac.compare_digest(fingerprint.rstrip("=").encode(), key.fingerprint.encode()):
            raise StreamBroken(f"{label} shows the host key {key.fingerprint}, expected {fingerprint}", _ASK)
        return
    valid = [known for known in found if not known.is_revoked]
    if any(known.key == key for known in valid):
        return
    if same := next((known for known in valid if known.key.type == key.type), None) or next(iter(valid), None):
        raise _changed(label, key, same)
    raise _unknown(label, key, files)


_ASK = "somebody may be in between: ask who runs the machine before going on"


def _changed(label: str, key: Key, known: Known) -> StreamBroken:
    file, _, line = known.place.rpartition(":")
    return StreamBroken(
        f"the host key of {label} has changed: it shows {_named(key)}, and {known.place} holds {_named(known.key)}",
        f"somebody may be in between: ask who runs the machine; if it is right, ssh-keygen -f {file} -R '{label}' "
        f"forgets the old one (line {line})",
    )


def _unknown(label: str, key: Key, files: Sequence[Path]) -> StreamBroken:
    where = ", ".join(str(file) for file in files[:2]) or "no file"
    return StreamBroken(
        f"{label} is not a known host ({where}); it shows {_named(key)}",
        f"compare it with what the machine's ssh-keygen -l says; then ssh {_as_arguments(label)} once, "
        f"or --host-key-fingerprint {key.fingerprint}",
    )


def _named(key: Key) -> str:
    return f"{key.fingerprint} ({key.type.removeprefix('ssh-').partition('@')[0].upper()})"


def _as_arguments(label: str) -> str:
    host, _, port = label.removeprefix("[").partition("]:")
    return f"-p {port} {host}" if port else label
