"""``rtbids stream --dry-run``: what would leave, by the names of its fields and elements and its size; no value is shown."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from rtbids.bids import dataset
from rtbids.cli import streaming
from rtbids.cli.deid_stage import Stage
from rtbids.cli.request import Request, is_complete
from rtbids.cli.withheld import SIDECARS, Withheld
from rtbids.errors import UsageFault
from rtbids.plural import counted
from rtbids.stream import endpoints, units
from rtbids.stream.branch import Units
from rtbids.stream.units import Unit

if TYPE_CHECKING:
    from rtbids.convert.dicom import Instance

_FILES = "DICOM files"
_TEXTS = frozenset(dataset.DOCUMENTS) - {dataset.DESCRIPTION}


@dataclass
class Names:
    """The names of what was kept, replaced, added and removed, each once."""

    kept: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)
    added: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)

    def compare(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        self.added |= set(after) - set(before)
        for name in before:
            if name not in after:
                self.removed.add(name)
            else:
                (self.kept if before[name] == after[name] else self.replaced).add(name)

    def lines(self, what: str) -> Iterator[str]:
        for word in ("kept", "replaced", "added", "removed"):
            if names := sorted(getattr(self, word)):
                yield f"  {what} {word}: {', '.join(names)}"


Notes = defaultdict[str, Names]  # by what they are the names of


@dataclass
class _Seen(Withheld):
    """Keeps identifiers out as it will be done, and notes the names of what that was done to."""

    notes: Notes = field(default_factory=lambda: defaultdict(Names))

    def anew(self) -> Withheld:
        return _Seen(self.identified, notes=self.notes)

    def note(self, what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        self.notes[what].compare(before, after)


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
    """Return the elements that hold something, by their names."""
    from pydicom import dcmread

    dataset = dcmread(io.BytesIO(bytes(instance.content)), force=True)
    found = (element for element in dataset if not element.is_empty)
    return {element.keyword or f"{element.tag} {element.name}": element.value for element in found}


@dataclass
class _Left:
    """What would come to one destination."""

    images: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    fields: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)

    def take(self, found: Units) -> None:
        for unit in found:
            if unit is not None:
                name = unit.run or (_FILES if unit.is_file else "description and tables")
                self.images[name] += unit.is_image
                self.sizes[name] += unit.size
                self.fields |= _fields(unit)
                self.texts |= {unit.name} if unit.name in _TEXTS else set()


def _fields(unit: Unit) -> set[str]:
    """Return the names of the fields of a run's sidecar, or of what a volume changes of it."""
    if not unit.run or not unit.pieces[0].name.endswith("_bold.json"):
        return set()
    said = units.fields(unit.pieces[0])
    changed = said.get("metadata") if unit.index is not None else said
    return set(changed) if isinstance(changed, dict) else set()


def show(request: Request, order: streaming.Order) -> None:
    """Do with what is there of the source all that would be done, and print what would leave."""
    request = replace(request, live=replace(request.live, wait=False))
    if endpoints.is_far(request.source):
        raise UsageFault(
            f"{request.source}: --dry-run shows what leaves this machine", "call it on the machine that has SOURCE"
        )
    if not is_complete(request):
        raise UsageFault(f"{request.source}: --dry-run reads what is there: expected a folder or a .tar file")
    seen = _Seen(request.withheld.identified)
    stage = _SeenStage(request.deidentify.make) if request.deidentify else None
    left = {one: _Left() for one in order.destinations}
    streaming.rehearse(
        replace(request, withheld=seen, deidentify=stage), order, lambda destination, found: left[destination].take(found)
    )
    told: dict[tuple[str, ...], list[str]] = {}
    for destination, one in left.items():
        told.setdefault(tuple(_lines(one, seen, stage)), []).append(destination)
    for lines, destinations in told.items():
        click.echo("\n".join([f"would leave for {', '.join(destinations)}:", *lines]))


def _lines(left: _Left, seen: _Seen, stage: _SeenStage | None) -> Iterator[str]:
    for name in left.sizes:
        count = f"{counted(left.images[name], 'image')}, " if left.images[name] else ""
        yield f"  {name}: {count}{left.sizes[name] / 1e6:.2f} MB"
    if left.texts:
        yield f"  texts as they are: {', '.join(sorted(left.texts))}"
    if _FILES in left.sizes and stage is not None:
        yield from stage.names.lines("elements of DICOM")
    elif _FILES not in left.sizes:
        for what in sorted({SIDECARS, *seen.notes}):
            yield from _names(what, seen.notes[what], left).lines(what)
        if stage is not None and stage.known:
            yield "  elements of DICOM: none"
    if stage is None:
        is_cleaned = _FILES not in left.sizes and not seen.identified
        yield "  not de-identified" + (", but for sidecars of runs" if is_cleaned else "")


def _names(what: str, names: Names, left: _Left) -> Names:
    """Return the names, with those of fields that nothing was done to."""
    return replace(names, kept=names.kept | left.fields - names.replaced - names.added) if what == SIDECARS else names
