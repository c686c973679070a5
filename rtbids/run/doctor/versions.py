"""Versions, and the parts that are there or not."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from rtbids import __version__
from rtbids.errors import UsageFault
from rtbids.run.doctor.row import Finding, Row, cannot, look, ok, plain

SHOWN = ("numpy", "pydicom", "paramiko")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Part:
    """Something that is installed only where it is wanted."""

    modules: tuple[str, ...]
    purpose: str
    install: str


PARTS: Mapping[str, Part] = {
    "fast": Part(("numba",), "the analysis in half the time", "rtbids[fast]"),
    "jpeg": Part(("pylibjpeg", "libjpeg", "openjpeg"), "compressed DICOM", "rtbids[jpeg]"),
    "lsl": Part(("pylsl",), "feedback and responses by LSL", "rtbids[lsl]"),
    "decode": Part(("sklearn",), "training decoders", "rtbids[decode]"),
    "cloud": Part(("s3fs", "gcsfs", "adlfs"), "sending to buckets", "rtbids[cloud]"),
    "outbox": Part(("psycopg",), "an outbox in PostgreSQL", "rtbids[outbox]"),
    "crypt": Part(("pyrage",), "encrypted linkage files", "rtbids[crypt]"),
    "deface": Part(("pydeface",), "defacing", "rtbids[deface]"),
}


@dataclass(frozen=True)
class Versions:
    """`packages` are those that rtbids needs; None is one that is not there."""

    rtbids: str
    python: str
    system: str
    packages: Mapping[str, str | None]


@dataclass(frozen=True)
class Parts:
    """Which optional parts are there, and whether dcm2niix can be run."""

    there: Mapping[str, bool]
    dcm2niix: bool


def examine() -> Finding:
    versions, parts = versions_here(), parts_here()
    return Finding("versions", (*judge_versions(versions), *judge_parts(parts)), {**plain(versions), "parts": plain(parts)})


def versions_here() -> Versions:
    return Versions(__version__, platform.python_version(), platform.platform(), _needed())


def _needed() -> dict[str, str | None]:
    """Return what rtbids needs, by what its own installation says; nothing where it was not installed."""
    try:
        requirements = metadata.requires("rtbids") or []
    except metadata.PackageNotFoundError:
        return {}
    names = [found[0] for text in requirements if "extra ==" not in text and (found := _NAME.match(text))]
    return {name: _version(name) for name in names}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def parts_here() -> Parts:
    return Parts({name: all(map(_is_there, part.modules)) for name, part in PARTS.items()}, _has_dcm2niix())


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # half of a package
        return False


def _has_dcm2niix() -> bool:
    try:
        import dcm2niix
    except (ImportError, OSError):
        return False
    return Path(dcm2niix.bin).is_file()


def judge_versions(versions: Versions) -> tuple[Row, ...]:
    lacking = [name for name, version in versions.packages.items() if version is None]
    text = ", ".join(
        [f"rtbids {versions.rtbids}", f"Python {versions.python}"]
        + [f"{name} {version}" for name in SHOWN if (version := versions.packages.get(name))]
    )
    if lacking:
        do = f"pip install {' '.join(lacking)}"
        return (cannot("versions", text, f"not installed: {', '.join(lacking)}", do, code=UsageFault.exit_code),)
    return (ok("versions", text),)


def judge_parts(parts: Parts) -> tuple[Row, ...]:
    """What is not there is no fault: who does not want it does without."""
    there = [name for name, is_there in parts.there.items() if is_there]
    absent = [PARTS[name] for name, is_there in parts.there.items() if not is_there]
    rows = [ok("parts", ", ".join([*there, *(["dcm2niix"] if parts.dcm2niix else [])]) or "none of the optional ones")]
    rows += [ok("", f"for {part.purpose}: pip install '{part.install}'") for part in absent]
    if not parts.dcm2niix:
        why = "series that are not functional cannot be converted"
        rows.append(look("dcm2niix", "its program is not there", why, "pip install --force-reinstall dcm2niix"))
    return tuple(rows)
