"""One batch for a person, image by image: each reason once, with how often it was met, in lines that fit the screen."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from rtbids.run.one_line import printable
from rtbids.send.showing import DeliveryShown, ImageShown, Shown, TransitionShown

WIDTH = 80  # columns, where there is no terminal that has others
_INDENT, _DEEPER = "  ", "    "


def batch(shown: Shown, images: Sequence[ImageShown], width: int = WIDTH, *, with_names: bool = True) -> Iterator[str]:
    """Yield what there is to know of a batch; names of folders and files, which may identify, where these are wanted."""
    one = shown.batch
    errors = f", {one.errors} in ERROR" if one.errors else ""
    yield f"batch {one.batch}  {one.state}  {one.images} image{'s' * (one.images != 1)}{errors}"
    if one.label and shown.root:
        yield from _named("from", shown.root if with_names else "(names are shown in a terminal only)", width)
    yield from _named("came", _local(one.added), width)
    yield from _named("changed", _local(one.changed), width)
    if one.reason:
        yield from _named("reason", one.reason, width)
    for image in images:
        yield ""
        yield from _image(image if with_names else replace(image, file=None, quarantine=None), width)


def _image(image: ImageShown, width: int) -> Iterator[str]:
    sizes = f"{image.size} bytes" + (f", {image.clean_size} de-identified" if image.clean_size is not None else "")
    yield f"image {image.image}  {image.state}  {sizes}{'  as it is' if image.as_is else ''}"
    tries = {one.url: list(_tries(image, one)) for one in image.deliveries}
    told = {reason for each in tries.values() for reason, _ in each}
    for name, value in (
        ("reason", None if image.reason in told else image.reason),
        ("file", image.file),
        ("quarantine", image.quarantine),
        ("instance", image.instance),
        ("same as", None if image.same_as is None else f"image {image.same_as}"),
    ):
        if value:
            yield from _named(name, value, width)
    for one in image.deliveries:
        then = f", next try at {_clock(one.next_try, image)}" if one.next_try is not None else ""
        yield from _wrapped(f"{one.url}: {one.state}{then}", width, _INDENT)
        for reason, times in tries[one.url]:
            yield from _wrapped(f"{reason}{_times(times, image)}", width, _DEEPER)
    yield from _in_rows((_transition(one) for one in image.transitions if not _is_try(one)), width)


def _is_try(one: TransitionShown) -> bool:
    """Whether nothing changed: a destination did not take the image, and it waits for the next try."""
    return one.url is not None and one.before is one.after


def _tries(image: ImageShown, delivery: DeliveryShown) -> Iterator[tuple[str, list[float]]]:
    """Yield each reason for which a destination did not take an image, and when that was."""
    found: dict[str, list[float]] = {delivery.reason: []} if delivery.reason else {}
    for one in image.transitions:
        if one.url == delivery.url and one.reason:
            found.setdefault(one.reason, []).append(one.at)
    yield from found.items()


def _times(times: Sequence[float], image: ImageShown) -> str:
    if not times:
        return ""
    return f": {len(times)} times, last at {_clock(times[-1], image)}" if len(times) > 1 else f": at {_clock(times[0], image)}"


def _transition(one: TransitionShown) -> str:
    return f"{time.strftime('%H:%M:%S', time.localtime(one.at))} {one.after}{' there' if one.url else ''}"


def _clock(at: float, image: ImageShown) -> str:
    """Return the time of day, with the date where it is not that on which the image came."""
    then, first = time.localtime(at), time.localtime(image.transitions[0].at if image.transitions else at)
    return time.strftime("%H:%M:%S", then) if then[:3] == first[:3] else _local(at)


def _local(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _named(name: str, value: str, width: int) -> Iterator[str]:
    return _wrapped(f"{name:<10} {printable(value)}", width, _INDENT, " " * 13)


def _wrapped(text: str, width: int, indent: str, further: str = _DEEPER + _INDENT) -> Iterator[str]:
    """Yield a text in lines; what is longer than one, as a path, is left whole to be copied."""
    yield from textwrap.wrap(
        printable(text),
        width,
        initial_indent=indent,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def _in_rows(words: Iterable[str], width: int) -> Iterator[str]:
    row = ""
    for word in words:
        if row and len(row) + len(_INDENT) + len(word) > width:
            yield row
            row = ""
        row += _INDENT + word
    if row:
        yield row
