"""What a de-identification leaves beside the files: its report, and the table of who became whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rtbids.cli import cleaners
from rtbids.deidentify import part10, report
from rtbids.deidentify.by_recipe import Cleaner
from rtbids.deidentify.clean import Clean
from rtbids.deidentify.header import Header
from rtbids.deidentify.linkage import Link, Linkage


@dataclass(frozen=True)
class Wanted:
    """What is to be left, and where."""

    report: Path | None = None
    linkage_file: Path | None = None
    linkage_recipients: Sequence[str] = ()
    deface: str | None = None


@dataclass(frozen=True)
class Records:
    """Takes note of file after file."""

    report: report.Report
    path: Path | None
    linkage: Linkage | None

    def link(self, content: bytes, clean: Clean) -> Link | None:
        """Read who became whom, where that is to be left."""
        return _link(content, clean) if self.linkage else None

    def written(self, clean: Clean, link: Link | None) -> None:
        if self.path:
            self.report.written(clean)
        if self.linkage and link:
            self.linkage.add(link)

    def left_out(self, kind: str, reason: str) -> None:
        self.report.left_out(kind, reason)

    def close(self) -> None:
        """Write what was noted, also when the command ends early: for the files that are there already."""
        try:
            if self.linkage:
                self.linkage.write()
        finally:
            if self.path:
                self.report.write(self.path)


def records(wanted: Wanted, rules: cleaners.Rules, cleaner: Cleaner, *, overwrite: bool) -> Records:
    """Make ready; raise CannotWrite or UsageFault before any work where that could not be written."""
    from rtbids.errors import UsageFault

    if wanted.report:
        report.check(wanted.report, overwrite=overwrite)
    if wanted.linkage_recipients and not wanted.linkage_file:
        raise UsageFault("--linkage-recipient needs --linkage-file, where to write the table")
    linkage = Linkage(wanted.linkage_file, wanted.linkage_recipients) if wanted.linkage_file else None
    about = report.About(
        cleaner.engine.profile,
        cleaner.engine.mapping.key.fingerprint,
        cleaners.digest(rules.recipe),
        service=bool(rules.identifiers),
        verified=rules.verify,
        defaced_by=wanted.deface,
    )
    return Records(report.Report(about), wanted.report, linkage)


def _link(content: bytes, clean: Clean) -> Link:
    """Read who became whom in the files themselves: a recipe may have given an ID of its own."""
    old, new = Header(part10.read(content)), Header(part10.read(clean.content))
    return Link(
        *(old("PatientID"), new("PatientID")),
        *(old("AccessionNumber"), new("AccessionNumber")),
        *(old("StudyInstanceUID"), new("StudyInstanceUID")),
        *(old("SeriesInstanceUID"), new("SeriesInstanceUID")),
        clean.shift_days,
    )
