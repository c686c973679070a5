"""``rtbids deidentify``: DICOM files without what identifies the person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtbids.cli import options
from rtbids.cli.cleaners import rule_options

if TYPE_CHECKING:
    from rtbids.cli.cleaners import Rules

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(name="deidentify", short_help="Take out of DICOM files what identifies the person.")
@click.argument("source", required=False)
@click.argument("destination", metavar="[DEST]", required=False)
@options.deidentify_options
@rule_options
@click.option("--print-recipe", is_flag=True, help="Print the recipe of deid as one of ours, with what does not translate.")
@click.option(
    "--deface",
    metavar="PROGRAM",
    help="Take faces out of what is not echo-planar: pydeface, fsl_deface,\nmideface, or a command with {input} and {output}.",
)
@click.option("--report", type=_FILE, metavar="FILE", help="What was done to which element: .html, .json or .tsv; no values.")
@click.option("--linkage-file", type=_FILE, metavar="FILE", help="Who became whom, for who must go back; encrypted with age.")
@click.option(
    "--linkage-recipient",
    "linkage_recipients",
    multiple=True,
    metavar="age1...",
    help="Whose key opens it, as age-keygen shows it. Repeatable.",
)
@click.option("--new-key", is_flag=True, help="Make the site's key, once; then de-identify, if SOURCE is named.")
@click.option("--overwrite", is_flag=True, help="Write into a DEST that holds files, and over those of the same name.")
@options.open_timeout
@options.common_options
def command(
    source: str | None,
    destination: str | None,
    rules: Rules,
    print_recipe: bool,
    deface: str | None,
    report: Path | None,
    linkage_file: Path | None,
    linkage_recipients: tuple[str, ...],
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
      rtbids deidentify /data clean --recipe site.yaml --verify --report r.html
      rtbids deidentify --recipe deid.dicom --print-recipe > site.yaml
      rtbids watch /data/export | rtbids deidentify - - | rtbids convert --to a.tar
    """
    from rtbids.cli import cleaners, deidentifying
    from rtbids.cli.deid_records import Wanted
    from rtbids.errors import UsageFault

    if print_recipe:
        click.echo(cleaners.translated(rules.recipe), nl=False)
        return
    if new_key:
        deidentifying.make_key(rules.key)
    if source is None and new_key:
        return
    if source is None or destination is None:
        raise UsageFault("SOURCE and DEST are needed, where the files are and where to write them", "rtbids deidentify --help")
    wanted = Wanted(report, linkage_file, linkage_recipients, deface)
    request = deidentifying.Request(source, destination, rules, wanted, overwrite, open_timeout)
    deidentifying.run(request)
