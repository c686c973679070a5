"""``rtbids``: a table of commands, each imported only when it is called, and the one place where errors become exit codes."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import click

from rtbids import __version__
from rtbids.errors import RtbidsError, Stopped, StreamBroken, internal_fault

COMMANDS = {
    "run": ("rtbids.cli.run", "Run an experiment on a stream of volumes and send feedback."),
    "replay": ("rtbids.cli.replay", "Play a past run as if it were live."),
    "watch": ("rtbids.cli.watch", "Hand on DICOM files as each becomes complete."),
    "convert": ("rtbids.cli.convert", "Turn DICOM into BIDS, volume by volume."),
    "stream": ("rtbids.cli.stream", "Move a stream from one place to several, losing nothing."),
    "deidentify": ("rtbids.cli.deidentify", "Take out of DICOM files what identifies the person."),
    "send": ("rtbids.cli.send", "Send finished series on, de-identified, losing none."),
    "status": ("rtbids.cli.status", "Show the runs in progress, and command them."),
    "doctor": ("rtbids.cli.doctor", "Say what works here, and how soon feedback can be there."),
    "archive": ("rtbids.cli.archive", "Grow a BIDS data set."),
    "far": ("rtbids.cli.far", "The far side of a connection; started over SSH, not by hand."),
    "init": ("rtbids.cli.init", "Make a new experiment from a sample."),
    "clients": ("rtbids.cli.clients", "Put the files for the stimulus computer into a folder."),
}
USAGE = 64
click.IntRange.name = "whole number"  # in place of "'2x' is not a valid integer range"
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class LazyGroup(click.Group):
    """A group that knows its commands' names and help lines by heart, and imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            raise click.UsageError(f"no such command {args[0]!r}{_nearest(args[0])}", ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click's own answer is exit code 1 without a word
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains once more when it flushes at exit
            raise StreamBroken("the reader of standard output has gone") from None


@click.group(cls=LazyGroup, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="rtbids")
def cli() -> None:
    """Real-time fMRI over BIDS.

    Takes volumes from a scanner as they are made, turns them into BIDS, runs your analysis within the repetition time, sends
    feedback, and leaves a valid BIDS data set.

    \b
    A first run, on the scanner's export folder:
      rtbids run roi_feedback /data/export --set rois.target=mask.nii \\
          --bids-dir study --feedback feedback.jsonl

    Standard output is data; what is meant for you is on standard error. For completion in bash:
    eval "$(_RTBIDS_COMPLETE=bash_source rtbids)" (zsh_source and fish_source likewise).
    """


def main() -> NoReturn:
    """Run the command line; end with the exit code that rtbids.errors gives."""
    sys.exit(run(cli))


def run(command: click.Command, arguments: list[str] | None = None, name: str = "rtbids") -> int:
    """Call `command` and return its exit code, what went wrong said in one line, with one more on what to do."""
    with _threads_heard() as faults:
        code = _called(command, arguments, name)
    if faults and not code:
        return _say(f"not all was done: {faults[0]}", "please report it", RtbidsError.exit_code)
    return code


@contextmanager
def _threads_heard() -> Iterator[list[str]]:
    """Say what breaks off a thread that nobody waits for, as it happens, and give it: where work was lost no code may be 0."""
    faults: list[str] = []

    def hear(broken: threading.ExceptHookArgs) -> None:
        if broken.exc_value is not None and not isinstance(broken.exc_value, SystemExit):
            name = broken.thread.name if broken.thread else "a thread"
            faults.append(f"{name} broke off: {internal_fault(broken.exc_value)}")
            with suppress(OSError):  # the terminal may be gone
                click.echo(f"warning: {faults[-1]}", err=True)

    before, threading.excepthook = threading.excepthook, hear
    try:
        yield faults
    finally:
        threading.excepthook = before


def _called(command: click.Command, arguments: list[str] | None, name: str) -> int:
    try:
        code = command.main(arguments, prog_name=name, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.UsageError as error:
        hint = f"{error.ctx.command_path} --help" if error.ctx else None
        return _say(error.format_message().rstrip("."), hint and f"see {hint}", USAGE)
    except click.ClickException as error:
        return _say(error.format_message(), None, USAGE)
    except RtbidsError as error:
        return _say(str(error), error.hint, error.exit_code, is_error=not isinstance(error, Stopped))
    except (click.Abort, KeyboardInterrupt):
        return _say("stopped", None, 130)
    except OSError as error:
        return _say(f"{error.filename or 'standard output'}: {error.strerror or error}", None, 74)


def _say(message: str, hint: str | None, code: int, *, is_error: bool = True) -> int:
    if console := sys.modules.get("rtbids.cli.console"):  # set up by the command, unless it never came to that
        console.log_end(message, is_error=is_error)
    click.echo(f"rtbids: {message}", err=True)
    if hint:
        click.echo(f"        {hint}", err=True)
    return code


def _nearest(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, COMMANDS, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


if __name__ == "__main__":
    main()
