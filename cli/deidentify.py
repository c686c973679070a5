"""``rtbids deidentify``: DICOM files without what identifies the person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtbids.cli import options

if TYPE_CHECKING:
    from rtbids.deidentify.profile import Options


@click.command(name="deidentify", short_help="Take out of DICOM files what identifies the person.")
@click.argument("source", required=False)
@click.argument("destination", metavar="[DEST]", required=False)
@options.deidentify_options
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The site's key; by default $RTBIDS_SITE_KEY or\n~/.config/rtbids/site.key.",
)
@click.option("--new-key", is_flag=True, help="Make the site's key, once; then de-identify, if SOURCE is named.")
@click.option("--overwrite", is_flag=True, help="Write into a DEST that holds files, and over those of the same name.")
@options.open_timeout
@options.common_options
def command(
    source: str | None,
    destination: str | None,
    retained: Options,
    key: Path | None,
    new_key: bool,
    overwrite: bool,
    open_timeout: float,
) -> None:
    """Write the DICOM files of SOURCE to DEST without what identifies the person, and with what fMRI needs.

    SOURCE is a folder, a file, or a tar stream of DICOM files (a .tar file, a named pipe, - for standard input); DEST a folder,
    a .tar file, a named pipe, or - for standard output. Files are named by their new values.

    Names, identifiers and free text go, wherever they stand; UIDs and patient IDs are made anew, dates are moved back, by
    the site's key, the same for a patient each time. Images that show text, screens or documents are left out and named.

    \b
    Examples:
      rtbids deidentify --new-key
      rtbids deidentify /data/export clean
      rtbids watch /data/export | rtbids deidentify - - | rtbids convert --to a.tar
    """
    from rtbids.cli import deidentifying
    from rtbids.errors import UsageFault

    if new_key:
        deidentifying.make_key(key)
    if source is None and new_key:
        return
    if source is None or destination is None:
        raise UsageFault("SOURCE and DEST are needed, where the files are and where to write them", "rtbids deidentify --help")
    request = deidentifying.Request(source, destination, retained, key, overwrite, open_timeout)
    deidentifying.run(request)
