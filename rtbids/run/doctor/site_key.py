"""The key that de-identification needs: whether it is there and nobody else's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtbids.deidentify.mapping import Key, key_path
from rtbids.errors import InputMissing, RtbidsError
from rtbids.run.doctor.row import Finding, Row, look, ok, plain, refused


@dataclass(frozen=True)
class SiteKey:
    """`mode` are its permission bits, None where it is not there; `fault` is why it cannot be used."""

    path: str
    mode: int | None
    fingerprint: str = ""
    fault: str = ""


def examine() -> Finding:
    path = key_path()
    mode = _mode(path)
    try:
        key = SiteKey(str(path), mode, Key.load(path).fingerprint)
    except RtbidsError as error:
        return Finding("site_key", (_lacking(error, mode),), plain(SiteKey(str(path), mode, fault=str(error))))
    return Finding("site_key", (ok("site key", f"{key.path}, owner only ({key.fingerprint})"),), plain(key))


def _lacking(error: RtbidsError, mode: int | None) -> Row:
    """A site that does not de-identify needs none; one that cannot be used is never passed over."""
    if isinstance(error, InputMissing) and mode is None:
        return look("site key", str(error), "nothing can be de-identified without", error.hint or "")
    return refused("site key", error)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        return None
