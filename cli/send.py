"""``rtbids send``: finished series to where they are kept, through a durable outbox; and what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtbids.cli import amounts, options
from rtbids.cli.cleaners import rule_options

if TYPE_CHECKING:
    from rtbids.cli.amounts import Cleanup
    from rtbids.cli.cleaners import Rules
    from rtbids.cli.request import Live

_FILE = click.Path(dir_okay=False, path_type=Path)
_OUTBOX = (
    click.option(
        "--outbox",
        type=click.Path(file_okay=False, readable=False, path_type=Path),
        metavar="DIR",
        help="The outbox; by default ~/.local/state/rtbids/outbox.",
    ),
    click.option("--database", metavar="URL", help="Keep its states in PostgreSQL: postgresql://USER@HOST/NAME."),
)
_json = click.option("--json", "as_json", is_flag=True, help="Print it as JSON, without identifiers.")


def _outbox_options(function: options.F) -> options.F:
    decorated: Any = function
    for option in reversed(_OUTBOX):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


class WithCommands(click.Group):
    """A command that has commands: the first word is one of theirs, or else a SOURCE."""

    allow_interspersed_args = True

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any) -> Any:
        if args and args[0] in self.commands:
            name = f"{info_name} {args[0]}"
            return self.commands[args[0]].make_context(name, args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return click.Command.collect_usage_pieces(self, ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return click.Command.parse_args(self, ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        return click.Command.invoke(self, ctx)


@click.group(name="send", cls=WithCommands, short_help="Send finished series on, de-identified, losing none.")
@click.argument("source")
@click.argument("destinations", metavar="[DEST]...", nargs=-1)
@_outbox_options
@click.option("--as", "form", type=click.Choice(["dicom", "nifti"]), default="dicom", show_default=True, help="What arrives.")
@click.option(
    "--quiet-time",
    type=options.Seconds(0),
    default=5.0,
    show_default=True,
    metavar="S",
    help="A folder or series is quiet after S seconds.",
)
@click.option(
    "--time-out",
    type=options.Seconds(0),
    default=600.0,
    show_default=True,
    metavar="S",
    help="Give up files that are incomplete and unchanged for S seconds; the rest of their folder goes.",
)
@click.option(
    "--cleanup",
    type=amounts.CleanupType(),
    default="keep",
    show_default=True,
    metavar="keep|delete|move:DIR",
    help="What becomes of raw files when all of their batch have arrived.",
)
@click.option("--mark-failed", is_flag=True, help="At the end, rename folders of which nothing could be used to NAME.err.")
@click.option(
    "--watermark", type=amounts.Bytes(), default="1G", show_default=True, metavar="SIZE", help="Leave SIZE of the disk free."
)
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, metavar="N", help="N de-identify at once.")
@click.option("--processes", is_flag=True, help="Give each of these a process, and with it a core, of its own.")
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=9,
    show_default=True,
    metavar="N",
    help="Give up an image that a destination has refused N times more, over a day. One that is down is waited for.",
)
@click.option("--deidentify/--no-deidentify", default=True, help="De-identify, or send images as they are.")
@options.deidentify_options
@rule_options
@click.option(
    "--proof",
    type=click.Choice(["query", "status"]),
    default="query",
    show_default=True,
    help="An image counts as sent when a destination lists it, or by its word alone.",
)
@click.option("--calling", metavar="AET", help="Our own AE title.")
@click.option("--ca", type=_FILE, metavar="FILE", help="Trust destinations that these have certified (PEM).")
@click.option("--client-cert", type=_FILE, metavar="FILE", help="Our certificate, for destinations that ask for one.")
@click.option("--client-key", type=_FILE, metavar="FILE", help="Its private key.")
@click.option("--credentials", type=_FILE, metavar="FILE", help="Users and passwords, as in ~/.netrc, by default that.")
@click.option("--endpoint", metavar="URL", help="Of s3://: the service, where it is not Amazon's.")
@click.option("--metrics", metavar="[HOST:]PORT", help="Serve metrics for Prometheus, on this machine only.")
@options.taking_options
@options.open_timeout
@options.common_options
def command(
    source: str,
    destinations: tuple[str, ...],
    live: Live,
    rules: Rules,
    cleanup: Cleanup,
    **given: Any,
) -> None:
    """Send finished series on, de-identified, until Ctrl-C; nothing is lost or sent twice, whatever breaks.

    SOURCE is a folder (each folder below it that holds files is a batch), dicom-scp://[AET@]HOST:PORT, where we listen, or
    a tar stream of DICOM files (-, a named pipe, a .tar file). A folder is finished when no name in it ends in .tmp* or
    .part, every file is whole, and nothing has changed for the quiet time; when it was renamed into place, at once.

    DEST is dicom://AET@HOST:PORT (dicom+tls://), dicomweb+https://, orthanc+https://, s3://, gs://, az:// or file://.
    Passwords are read from ~/.netrc. An image counts as sent when each DEST lists it. A broken one is set aside.

    \b
    Examples:
      rtbids deidentify --new-key
      rtbids send /data/export dicom://PACS@pacs.example.org:104
      rtbids send dicom-scp://RTBIDS@0.0.0.0:11112 s3://study/dicom --cleanup delete
      rtbids send status

    The first word may be one of the commands below; for a SOURCE of such a name write ./status.
    """
    from rtbids.cli import sending

    sending.send(sending.Request(source, destinations, live, rules, cleanup, **given))


@command.command(name="status", short_help="Show how the outbox stands.")
@_outbox_options
@_json
@click.option("--follow", is_flag=True, help="Go on showing it, until Ctrl-C.")
@click.option("--page", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Older batches.")
@click.option("--lines", type=click.IntRange(1, 1000), default=20, show_default=True, metavar="N", help="Batches a page.")
@options.common_options
def status(**given: Any) -> None:
    """Show how many images are where, the destinations, and the newest batches; in a terminal as a table.

    \b
    Example:
      rtbids send status --follow
      rtbids send status --json
    """
    from rtbids.cli import outboxes

    outboxes.status(**given)


@command.command(name="show", short_help="Show one batch, image by image.")
@click.argument("batch", type=click.IntRange(1))
@_outbox_options
@_json
@click.option("--errors", "only_errors", is_flag=True, help="Only images in ERROR.")
@options.common_options
def show(**given: Any) -> None:
    """Show the images of BATCH: how far each has come, what went wrong, and when.

    \b
    Example:
      rtbids send show 12 --errors
    """
    from rtbids.cli import outboxes

    outboxes.show(**given)


@command.command(name="retry", short_help="Try again what is in ERROR.")
@click.argument("batch", type=click.IntRange(1), required=False)
@click.argument("image", type=click.IntRange(1), required=False)
@click.option("--all", "everything", is_flag=True, help="All batches.")
@_outbox_options
@options.common_options
def retry(**given: Any) -> None:
    """Put the images of BATCH in ERROR, or one IMAGE, back to where they failed; the sender that is running takes them on.

    A file in quarantine goes back to its place; where another is there by now, the one in quarantine is tried again.

    \b
    Example:
      rtbids send retry 12
      rtbids send retry --all
    """
    from rtbids.cli import outboxes

    outboxes.retry(**given)


@command.command(name="dismiss", short_help="Give up images that are in ERROR.")
@click.argument("batch", type=click.IntRange(1))
@click.argument("image", type=click.IntRange(1), required=False)
@_outbox_options
@options.common_options
def dismiss(**given: Any) -> None:
    """Give up the images of BATCH that are in ERROR, or one IMAGE of them, so that the rest can be DONE.

    They are never sent. Raw files stay where they are; those that came over the network or in a stream lie in quarantine,
    as what is there already, until the batch is purged.

    \b
    Example:
      rtbids send dismiss 12
      rtbids send dismiss 12 340
    """
    from rtbids.cli import outboxes

    outboxes.dismiss(**given)


@command.command(name="retire", short_help="Give up a destination.")
@click.argument("destination", metavar="DEST")
@_outbox_options
@options.common_options
def retire(**given: Any) -> None:
    """Give up DEST, as one that was mistyped or is no more: images wait for it no longer, and what it has stays known.

    DEST is written as in rtbids send status. Images that no other destination is left for wait for the next one.

    \b
    Example:
      rtbids send retire dicom://PACS@old.example.org:104
    """
    from rtbids.cli import outboxes

    outboxes.retire(**given)


@command.command(name="purge", short_help="Forget batches that arrived long ago.")
@click.option("--older-than", type=amounts.Span(), required=True, metavar="TIME", help="Of the last change: 30d, 12h, ...")
@_outbox_options
@options.common_options
def purge(**given: Any) -> None:
    """Remove batches from the outbox that are DONE, and have been for so long.

    Those with an error stay, as do those whose raw files cannot yet be cleaned up.

    \b
    Example:
      rtbids send purge --older-than 30d
    """
    from rtbids.cli import outboxes

    outboxes.purge(**given)


@command.command(name="times", short_help="Export when each image came how far.")
@_outbox_options
@click.option("--since", type=amounts.Span(), metavar="TIME", help="Of batches that came in the last 7d, 12h, ... only.")
@options.common_options
def times(**given: Any) -> None:
    """Write a table (TSV) of every batch, image and change of state to standard output, without identifiers.

    \b
    Example:
      rtbids send times --since 7d > times.tsv
    """
    from rtbids.cli import outboxes

    outboxes.times(**given)
