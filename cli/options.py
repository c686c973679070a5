"""Options that commands share: entities, verbosity, time-outs; and what they are when read."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from rtbids.bids import entities as bids_entities
from rtbids.errors import UsageFault

F = TypeVar("F", bound=Callable[..., Any])


class Seconds(click.FloatRange):
    """A time, which is a number: a comparison with NaN is never true, and no range keeps it out."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"expected seconds, found {value!r}", param, ctx)
        return seconds


def entity_options(function: F) -> F:
    """Add ``--subject … --run``; the command receives them as `entities`, a mapping of what was given."""
    names = ("subject", "session", "task", "acquisition")

    @click.option("--subject", "--participant-label", metavar="LABEL", help="Subject, 01 where nothing says otherwise.")
    @click.option("--session", metavar="LABEL", help="Session.")
    @click.option("--task", metavar="LABEL", help="Task; by default the protocol's name.")
    @click.option("--acquisition", metavar="LABEL", help="Acquisition.")
    @click.option("--run", "run_label", metavar="N[,N...]", help="Run, from 1; by default the next free number.")
    @functools.wraps(function)
    def command(*args: Any, run_label: str | None, **options: Any) -> Any:
        given = {name: options.pop(name) for name in names}
        given["run"] = run_label
        return function(*args, entities=labels(given), **options)

    return command  # type: ignore[return-value]


def labels(given: Mapping[str, str | None]) -> dict[str, str]:
    """Return the labels that were given, prefixes stripped; a list of runs stays one text, separated by commas."""
    found = {}
    for name, value in given.items():
        if value is not None:
            parts = value.split(",") if name == "run" else [value]
            found[name] = ",".join(bids_entities.label(name, part.strip()) for part in parts)
    return found


def common_options(function: F) -> F:
    """Add ``-v -q --log-file --log-json`` and set up what is said accordingly."""

    @click.option("-v", "--verbose", is_flag=True, help="Say more.")
    @click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
    @click.option("--log-file", type=click.Path(dir_okay=False), metavar="FILE", help="Write a log to FILE too.")
    @click.option("--log-json", is_flag=True, help="Log as JSON lines.")
    @functools.wraps(function)
    def command(*args: Any, verbose: bool, quiet: bool, log_file: str | None, log_json: bool, **options: Any) -> Any:
        from rtbids.cli import console

        console.set_up(verbose=verbose, quiet=quiet, log_file=log_file, log_json=log_json)
        return function(*args, **options)

    return command  # type: ignore[return-value]


_FILE = click.Path(dir_okay=False, path_type=Path)
_NETWORK = {  # what is said of a source dicom-scp://, by the names of `rtbids.cli.request.Network`
    "fsync": click.option("--fsync", is_flag=True, help="DICOM network: answer when the disk itself has confirmed the image."),
    "spool": click.option(
        "--spool",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="DICOM network: where images wait; by default ~/.local/state/rtbids/spool/PORT.",
    ),
    "tls_ca": click.option("--tls-ca", type=_FILE, metavar="FILE", help="DICOM network: take senders certified by these only."),
    "tls_key": click.option("--tls-key", type=_FILE, metavar="FILE", help="DICOM network: the certificate's private key."),
    "tls_cert": click.option("--tls-cert", type=_FILE, metavar="FILE", help="DICOM network: encrypt, with this certificate."),
    "allow_host": click.option(
        "--allow-host",
        multiple=True,
        metavar="ADDRESS",
        help="DICOM network: take images from this address, network (10.1.0.0/16) or host only. Repeatable.",
    ),
    "allow_aet": click.option(
        "--allow-aet", multiple=True, metavar="AET", help="DICOM network: take images from this AE title only. Repeatable."
    ),
}


_LIVE = {  # by the names of `rtbids.cli.request.Live`
    "pattern": click.option("--pattern", default="*", show_default=True, help="File names to take."),
    "existing": click.option("--existing/--new-only", default=True, help="Take the files already there first, or leave them."),
    "wait": click.option("--wait/--no-wait", default=True, help="Wait for files to come, or end when what is there is done."),
    "idle_timeout": click.option("--idle-timeout", type=Seconds(0), metavar="S", help="End after S seconds without a file."),
    "poll": click.option(
        "--poll/--no-poll",
        default=None,
        help="Look at the folder again and again, as a network share needs; found out by default.",
    ),
    "series": click.option("--series", metavar="N[,N...]", help="Take these series only, functional or not."),
}


def live_options(function: F, without: frozenset[str] = frozenset()) -> F:
    """Add what a live source understands; the command receives it as `live`, a `rtbids.cli.request.Live`."""
    live = {name: option for name, option in _LIVE.items() if name not in without}
    network = {name: option for name, option in _NETWORK.items() if name not in without}

    @functools.wraps(function)
    def command(*args: Any, **options: Any) -> Any:
        from rtbids.cli.request import Live, Network

        taken = {name: options.pop(name) for name in live}
        if "series" in taken:
            taken["series"] = series_numbers(taken["series"])
        peers = Network(**{name: options.pop(name) for name in network})
        return function(*args, live=Live(**taken, network=peers), **options)

    decorated: Any = command
    for option in (*live.values(), *network.values()):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def taking_options(function: F) -> F:
    """As `live_options`, of a source that is taken as a whole and kept in a place of its own."""
    return live_options(function, frozenset(("pattern", "series", "spool", "fsync")))


def stage_options(function: F) -> F:
    """Add de-identification of DICOM on its way; the command receives it as `wish`, a `rtbids.cli.deid_stage.Wish`."""

    @click.option(
        "--deidentify/--no-deidentify",
        default=None,
        help="DICOM: de-identify each image as it comes. BIDS-I: pass on only what is known.",
    )
    @click.option("--key", type=_FILE, metavar="FILE", help="For --deidentify: the site's key, if not the default one.")
    @click.option("--recipe", type=_FILE, metavar="FILE", help="For --deidentify: the site's own rules, or a recipe of deid.")
    @functools.wraps(function)
    def command(*args: Any, deidentify: bool | None, key: Path | None, recipe: Path | None, **options: Any) -> Any:
        from rtbids.cli.deid_stage import Wish

        return function(*args, wish=Wish(deidentify, key, recipe), **options)

    return command  # type: ignore[return-value]


def ssh_options(function: F) -> F:
    """Add how hosts are reached by SSH; the command receives it as `ssh`, a `rtbids.stream.ssh.settings.SshOptions`."""

    @click.option("--identity", type=_FILE, metavar="FILE", help="SSH: log in with this private key.")
    @click.option("--known-hosts", type=_FILE, metavar="FILE", help="SSH: trust the host keys of this file only.")
    @click.option(
        "--host-key-fingerprint", "fingerprint", metavar="SHA256:...", help="SSH: trust the host key of this fingerprint only."
    )
    @click.option("--remote-command", metavar="COMMAND", help="SSH: what starts the far side, if not rtbids far.")
    @functools.wraps(function)
    def command(*args: Any, remote_command: str | None, **options: Any) -> Any:
        from rtbids.stream.ssh.settings import FAR_COMMAND, SshOptions

        taken = {name: options.pop(name) for name in ("identity", "known_hosts", "fingerprint")}
        if (fingerprint := taken["fingerprint"]) is not None and not fingerprint.startswith("SHA256:"):
            raise UsageFault(f"--host-key-fingerprint: expected SHA256:..., found {fingerprint!r}", "as ssh-keygen -l shows it")
        return function(*args, ssh=SshOptions(**taken, remote_command=remote_command or FAR_COMMAND), **options)

    return command  # type: ignore[return-value]


identified = click.option(
    "--identified",
    is_flag=True,
    help="Keep what identifies in sidecars: names, numbers and dates of the person, institution, station and device.",
)


def deidentify_options(function: F) -> F:
    """Add what is kept and what goes; the command receives it as `retained`, a `rtbids.deidentify.profile.Options`."""

    @functools.wraps(function)
    def command(*args: Any, retain: tuple[str, ...], keep_words: tuple[str, ...], **options: Any) -> Any:
        from rtbids.deidentify.profile import Options

        taken = {name: options.pop(name) for name in ("dates", "descriptors", "private", "burned_in", "faces")}
        taken |= dict.fromkeys(retain, True)
        if not all(word.isprintable() and word.split() == [word] for word in keep_words):
            raise UsageFault("--keep-word: expected one word at a time", "--keep-word gambling --keep-word zauberwald")
        words = frozenset(word.casefold() for word in keep_words)
        return function(*args, retained=Options(**taken, words=words), **options)

    decorated: Any = command
    for option in (
        click.option("--faces", is_flag=True, help="Take images whose header says that a face can be recognised, as they are."),
        click.option("--burned-in", is_flag=True, help="Take images that may show text, and copies of screens, as they are."),
        click.option("--private/--no-private", default=True, help="Keep private elements that are known to be safe."),
        click.option(
            "--keep-word",
            "keep_words",
            multiple=True,
            metavar="WORD",
            help="Keep WORD in names of protocols and series. Repeatable.",
        ),
        click.option(
            "--descriptors",
            type=click.Choice(["clean", "removed"]),
            default="clean",
            show_default=True,
            help="Keep known words of the names of protocols and series, or nothing of them.",
        ),
        click.option(
            "--retain",
            type=click.Choice(["device", "institution", "patient", "uids"]),
            multiple=True,
            help="Keep serial numbers and station; the institution; the patient's sex, age and size; or UIDs. Repeatable.",
        ),
        click.option(
            "--dates",
            type=click.Choice(["shifted", "removed", "kept"]),
            default="shifted",
            show_default=True,
            help="Move dates back, the same for all of a patient; take them out; or leave them.",
        ),
    ):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


open_timeout = click.option(
    "--open-timeout",
    type=Seconds(0),
    default=10.0,
    show_default=True,
    metavar="S",
    help="Wait S seconds for the other side.",
)
keep = click.option(
    "--keep",
    type=click.Choice(["original", "corrected", "both"]),
    default="original",
    show_default=True,
    help="Which volumes to take where the scanner sends motion-corrected ones as well.",
)


overwrite = click.option("--overwrite", is_flag=True, help="Let --run N replace a run that is there.")


def session_options(function: F) -> F:
    """Add what is to be done with series that are not functional; the command receives it as `others`."""

    @click.option("--session-map", type=_FILE, metavar="FILE", help="YAML: where series that are not functional go in BIDS.")
    @click.option(
        "--all-series/--functional-only",
        default=True,
        help="Put anatomical, field map and diffusion series into the data set too, or leave them alone.",
    )
    @functools.wraps(function)
    def command(*args: Any, session_map: Path | None, all_series: bool, **options: Any) -> Any:
        from rtbids.cli.whole_session import Choice

        if session_map is not None and not all_series:
            raise UsageFault("--session-map and --functional-only exclude each other")
        if session_map is not None and options.get("bids_dir") is None:
            raise UsageFault("--session-map needs a data set", "name one by --bids-dir")
        return function(*args, others=Choice(all_series, session_map), **options)

    return command  # type: ignore[return-value]


class SpeedType(click.ParamType[float | None]):
    """A factor, or ``max``, which is None: as fast as they are taken."""

    name = "speed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        if value is None or value == "max" or isinstance(value, float):
            return None if value == "max" else value
        try:
            speed = float(value)
        except ValueError:
            self.fail(f"expected a number or max, found {value!r}", param, ctx)
        if not 0 < speed < float("inf"):
            self.fail(f"expected a number above 0, found {value!r}", param, ctx)
        return speed


def series_numbers(text: str | None) -> frozenset[int] | None:
    """Read ``5,7,9``."""
    if text is None:
        return None
    try:
        return frozenset(int(part) for part in text.split(","))
    except ValueError:
        raise UsageFault(f"--series: expected numbers such as 5,7,9, found {text!r}") from None
