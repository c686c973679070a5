"""``rtbids stream --dry-run``: what would leave, by the names of its fields and elements and its size; no value is shown."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from rtbids.cli import sources
from rtbids.cli.deid_stage import Stage
from rtbids.cli.request import Request, is_complete
from rtbids.cli.withheld import Withheld
from rtbids.errors import UsageFault
from rtbids.plural import counted
from rtbids.stream import units
from rtbids.stream.units import Unit

if TYPE_CHECKING:
    from rtbids.convert.dicom import Instance


@dataclass
class Names:
    """The names of what was kept, removed and replaced, each once."""

    kept: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)

    def compare(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        for name in before:
            if name not in after:
                self.removed.add(name)
            else:
                (self.kept if before[name] == after[name] else self.replaced).add(name)

    def lines(self, what: str) -> Iterator[str]:
        for word in ("kept", "replaced", "removed"):
            if names := sorted(getattr(self, word)):
                yield f"  {what} {word}: {', '.join(names)}"


@dataclass
class _Seen(Withheld):
    """Keeps identifiers out as it will be done, and notes the names of the fields."""

    names: Names = field(default_factory=Names)

    def fields(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        left = super().fields(metadata)
        self.names.compare(metadata, left)
        return left


@dataclass(frozen=True)
class _SeenStage(Stage):
    """De-identifies as it will be done, and notes the names of the elements of each series' first image."""

    names: Names = field(default_factory=Names)
    known: set[str] = field(default_factory=set)

    def instances(self, found: Iterable[Instance], faults: list[str]) -> Iterator[Instance]:
        before: list[Instance] = []

        def noted() -> Iterator[Instance]:
            for instance in found:
                before[:] = [instance]
                yield instance

        for clean in super().instances(noted(), faults):
            series = str(before[0].dataset.get("SeriesInstanceUID"))
            if series not in self.known:
                self.known.add(series)
                self.names.compare(_elements(before[0]), _elements(clean))
            yield clean


def _elements(instance: Instance) -> dict[str, Any]:
    from pydicom import dcmread

    dataset = dcmread(io.BytesIO(bytes(instance.content)), stop_before_pixels=True, force=True)
    return {element.keyword or f"{element.tag} {element.name}": element.value for element in dataset}


def show(request: Request, destinations: Sequence[str]) -> None:
    """Read what is there of the source, and print what would leave."""
    if not is_complete(replace(request, live=replace(request.live, wait=False))):
        raise UsageFault(f"{request.source}: --dry-run reads what is there: expected a folder or a .tar file")
    seen = _Seen(request.withheld.identified)
    stage = _SeenStage(request.deidentify.make) if request.deidentify else None
    request = replace(request, withheld=seen, deidentify=stage, live=replace(request.live, wait=False))
    volumes: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for unit in sources.stream(request):
        name = unit.run or ("DICOM files" if unit.is_file else "description and tables")
        volumes[name] += unit.is_image
        sizes[name] += unit.size
        _note(unit, seen.names)
    for line in _lines(destinations, volumes, sizes, seen, stage):
        click.echo(line)


def _note(unit: Unit, names: Names) -> None:
    """Note the fields of what leaves, also where nothing was taken out."""
    if unit.run and unit.index is None and unit.name.endswith("_bold.json"):
        names.kept |= set(units.fields(unit.pieces[0])) - names.replaced


def _lines(
    destinations: Sequence[str], volumes: Counter[str], sizes: Counter[str], seen: _Seen, stage: _SeenStage | None
) -> Iterator[str]:
    yield f"would leave for {', '.join(destinations)}:"
    for name in sizes:
        count = f"{counted(volumes[name], 'image')}, " if volumes[name] else ""
        yield f"  {name}: {count}{sizes[name] / 1e6:.2f} MB"
    yield from seen.names.lines("fields of sidecars")
    if stage is None:
        yield "  images are not de-identified" + (" (--identified)" if seen.identified else "")
    else:
        yield from stage.names.lines("elements of DICOM")
