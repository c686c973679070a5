"""``rtbids convert --check``: one table that says what agrees with dcm2niix."""

from __future__ import annotations

import sys

import click

from rtbids.cli import console, dicom_sources
from rtbids.cli.request import Request, is_network, kind_of
from rtbids.convert.check import KEYS, Agreement, compare
from rtbids.errors import BadData, StreamBroken, UsageFault

WHAT = ("voxels", "volumes", "type", "affine", "scale", "offset")


def report(request: Request) -> None:
    """Compare every functional series of a DICOM folder and show the table; raise BadData where one disagrees."""
    if kind_of(request.source) != "dicom" or is_network(request.source):
        raise UsageFault(f"{request.source}: --check compares DICOM files, so expected a folder of them")
    if sys.stdout is None:
        raise StreamBroken("standard output is closed, so that the table has no place")
    found = []
    for agreement in compare(dicom_sources.instances(request), request.live.series):
        found.append(agreement)
        _show(agreement, first=len(found) == 1)
    if not found:
        raise BadData(f"{request.source}: no functional series to compare", "pick one that is not by --series N")
    wrong = sum(bool(agreement.differ) for agreement in found)
    console.say(f"{len(found) - wrong} of {len(found)} runs agree with dcm2niix in all that was compared")
    if wrong:
        raise BadData(f"{wrong} of {len(found)} runs disagree with dcm2niix", "please report them with the table above")


def _show(agreement: Agreement, *, first: bool) -> None:
    """Write a row as soon as it is known: words in columns for a terminal, tabs for a program."""
    image = "differs" if any(what in agreement.differ for what in WHAT) else "agrees"
    fields = f"{sum(key in agreement.agree for key in KEYS)} agree"
    differ = "; ".join(f"{what}: {values}" for what, values in agreement.differ.items()) or "-"
    head = ("series", "volumes", "image", "sidecar", "differs in")
    row = (agreement.series, agreement.volumes, image, fields, differ)
    for cells in (head, row) if first else (row,):
        if sys.stdout.isatty():
            click.echo("{:<36} {:>7}  {:<8} {:<9} {}".format(*map(str, cells)))
        else:
            click.echo("\t".join(map(str, cells)))
