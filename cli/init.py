"""``rtbids init``: a new experiment from a sample."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import click

import rtbids.sample_experiments
from rtbids.cli import options

SCRIPT = "experiment.py"
NOT_COPIED = ("__init__.py", "__pycache__")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def samples() -> Mapping[str, Path]:
    """Return the folder of each sample, by name."""
    folder = Path(next(iter(rtbids.sample_experiments.__path__)))
    return {script.parent.name: script.parent for script in sorted(folder.glob(f"*/{SCRIPT}"))}


def description(sample: Path) -> str:
    """Return what a sample is, in its script's own first line."""
    said = ast.get_docstring(ast.parse((sample / SCRIPT).read_text(encoding="utf-8"))) or ""
    return said.partition("\n")[0]


class WithSamples(click.Command):
    """A command whose help ends with the samples."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Samples"):
            formatter.write_dl([(name, description(folder)) for name, folder in samples().items()])


def _list(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        rows = [(name, description(folder)) for name, folder in samples().items()]
        if sys.stdout.isatty():
            formatter = ctx.make_formatter()
            formatter.write_dl(rows)
            click.echo(formatter.getvalue(), nl=False)
        else:
            click.echo("\n".join("\t".join(row) for row in rows))
        ctx.exit()


def _named(ctx: click.Context, param: click.Parameter, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise click.BadParameter(
            f"expected a name of letters, digits, _ and - (64 at most), found {name!r}; the folder is made where you are",
            ctx,
            param,
        )
    return name


@click.command(name="init", cls=WithSamples, short_help="Make a new experiment from a sample.")
@click.argument("name", callback=_named)
@click.option(
    "--from", "sample", type=click.Choice(list(samples())), required=True, metavar="SAMPLE", help="The sample to begin with."
)
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List the samples and end.")
@options.common_options
def command(name: str, sample: str) -> None:
    """Make a folder NAME here, with a copy of SAMPLE that is yours to change.

    Nothing is overwritten: where there is a NAME already, it stays as it is (exit code 73).

    \b
    Example:
      rtbids init my_experiment --from roi_feedback
      rtbids init --list
    """
    from rtbids.cli import console

    copied = copy(samples()[sample], Path(name))
    console.say(
        f"{name}: a copy of {sample} ({', '.join(copied)})\n"
        f"  read       {name}/README.rst\n"
        f"  change     {name}/config.yaml, then {name}/{SCRIPT}\n"
        f"  rehearse   rtbids run ./{name} DATA_SET --speed max\n"
        f"  measure    rtbids run ./{name} /data/export --bids-dir study --feedback feedback.jsonl"
    )


def copy(sample: Path, folder: Path) -> list[str]:
    """Copy the files of a sample into a new `folder`, writable whatever the installed ones are; return their names."""
    from rtbids.errors import CannotWrite, cannot_write

    try:
        folder.mkdir()
    except FileExistsError:
        raise CannotWrite(f"{folder} is there already: nothing was changed", "take another name, or move it away") from None
    except OSError as error:
        raise cannot_write(folder, error) from None
    files = [file for file in sorted(sample.iterdir()) if file.is_file() and file.name not in NOT_COPIED]
    try:
        for file in files:
            shutil.copyfile(file, folder / file.name)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)  # of this call alone
        raise cannot_write(folder, error) from None
    return [file.name for file in files]
