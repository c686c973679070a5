"""The series that are not functional, placed in the data set while the session goes on: a thread beside the run."""

from __future__ import annotations

import logging
import queue
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rtbids.bids import entities as bids_entities
from rtbids.cli import clean_series, cut_series, set_aside
from rtbids.cli.withheld import Withheld
from rtbids.errors import BadData, RtbidsError
from rtbids.plural import counted
from rtbids.priority import give_way
from rtbids.threads import Answerable

if TYPE_CHECKING:
    from rtbids.archive.dataset import Archive
    from rtbids.archive.placing import Aside, Image
    from rtbids.archive.waiting import Waiting
    from rtbids.convert.places import Decision, Known
    from rtbids.convert.session import Gathered, Run, Session
    from rtbids.convert.whole_series import Output
    from rtbids.wakeup import Wakeup

logger = logging.getLogger("rtbids")
_LISTED = " (DICOM, {}readable by you alone; see sourcedata/series.tsv)"


@dataclass(frozen=True)
class Choice:
    """Whether series that are not functional are placed, and by which rules; see the options of the same names."""

    all_series: bool = True
    session_map: Path | None = None


ALL = Choice()


@contextmanager
def placed(
    archive: Archive,
    choice: Choice,
    entities: Mapping[str, str],
    stop: Wakeup | None = None,
    withheld: Withheld | None = None,
) -> Iterator[Session | None]:
    """Give what takes the other series of a session; on leaving, wait until each has its place, and say what there is.

    `stop` is set where the source is told to end before its time, which leaving before the source has ended does as well:
    series that are still arriving then wait for their rest. `withheld` knows what the source's headers say of a person.

    Raises
    ------
    BadData
        On leaving, where there was no functional volume and no image to be placed, but malformed series.
    """
    if not choice.all_series:
        yield None
        return
    placer = Placer(archive, choice, entities, stop, withheld)
    try:
        yield placer.session
    finally:
        placer.close()
    if placer.in_vain:
        raise set_aside.nothing_good(placer.malformed)


class Placer:
    """Converts and places series that are over, one after the other, in a thread of low priority."""

    def __init__(
        self,
        archive: Archive,
        choice: Choice,
        entities: Mapping[str, str],
        stop: Wakeup | None = None,
        withheld: Withheld | None = None,
    ) -> None:
        from rtbids.convert import session_map
        from rtbids.convert.places import Known
        from rtbids.convert.session import Session

        owner = {"subject": "01", **{entity: label for entity, label in entities.items() if entity in ("subject", "session")}}
        self._archive = archive
        self._rules = session_map.load(choice.session_map)
        self._known = Known(owner, entities.get("task"))
        self._room = archive.waiting_room()
        self._over: queue.SimpleQueue[Gathered | Run | None] = queue.SimpleQueue()
        self._postponed: list[Gathered] = []
        self._outputs: dict[Path, list[Output]] = {}  # of those: dcm2niix takes seconds, and other series come meanwhile
        self._cut = cut_series.CutSeries()
        self._held: list[Gathered] = []  # for the next start
        self._counts: Counter[str] = Counter()
        self._in_no_volume = 0  # images of functional series that are kept
        self.malformed: list[str] = []  # why series cannot be converted
        self._left = False
        self._stop = stop
        self._withheld = withheld or Withheld()
        self._clean = clean_series.CleanSeries(self._withheld.words)
        self.session = Session(self._folder, self._over.put, self._begun, self._is_stopped)
        # A daemon: after a second Ctrl-C nobody waits for it, and the next recovery does its work.
        self._thread = Answerable(self._run, "placer", "the next rtbids on this data set does what is left")
        self._thread.start()

    def close(self) -> None:
        """Place what is left, and say what became of the session's series; raise what broke that off."""
        self._left = True
        self.session.finish()
        for cut in self.session.cut:
            self._over.put(cut)
        self._over.put(None)
        try:
            self._thread.join()
        finally:
            self._conclude()

    def _conclude(self) -> None:
        from rtbids.cli import console

        self._room.close()
        self._archive.at_the_end(self._known.owner, self._rules.intended_for)
        listed = _LISTED.format("that names the patient, " if self._withheld.identified else "de-identified, ")
        if self._counts:
            parts = [
                f"{self._counts[what]} series {what}"
                for what in ("placed", "kept in sourcedata", "waiting")
                if self._counts[what]
            ]
            console.say(f"not functional: {', '.join(parts)}{listed if self._counts['kept in sourcedata'] else ''}")
        if self._in_no_volume:
            console.say(f"in no volume: {counted(self._in_no_volume, 'image')} kept in sourcedata{listed}")
        for gathered in self._held:
            console.say(cut_series.said(gathered, self._archive.root))

    @property
    def in_vain(self) -> bool:
        """Whether everything that was to be converted is malformed; known when all is closed."""
        good = self._archive.has_grown or self._counts["placed"] or self._counts["waiting"]
        return bool(self.malformed) and not good and not (self._stop is not None and self._stop.is_set())

    def _is_stopped(self) -> bool:
        return self._left or (self._stop is not None and self._stop.is_set())

    def _folder(self, number: int, description: str) -> Path:
        waiting = self._room.new()
        waiting.note({"number": number, "description": description, "owner": self._known.owner})
        return waiting.dicom

    def _begun(self, run: Run) -> None:
        """Hear of a functional run: a reference may wait for its name."""
        self._known.runs.append(run)
        self._over.put(run)

    def _run(self) -> None:
        from rtbids.convert.session import Gathered

        give_way()
        self._take_up()
        self.malformed.clear()  # of an earlier source
        while (heard := self._over.get()) is not None:
            if isinstance(heard, Gathered):
                self._hear(self._cut.joined(heard))
            self._retry(last=False)
        self._postponed += self._cut.rest()
        self._retry(last=True)

    def _hear(self, gathered: Gathered) -> None:
        """Place a series that is over; one that was cut waits on."""
        if gathered.sequel >= 0 or gathered.reason:
            self._try(gathered, self._known, last=False)
        else:
            self._held.append(gathered)
            self._counts["waiting"] += 1

    def _retry(self, *, last: bool) -> None:
        """Try again what waited for other series."""
        postponed, self._postponed = sorted(self._postponed, key=lambda gathered: gathered.number), []
        for gathered in postponed:
            self._try(gathered, self._known, last=last)

    def _take_up(self) -> None:
        """Place what another process left waiting; a series that was still arriving then waits for its rest.

        A reference whose run had not begun waits on, for the run that begins now.
        """
        from rtbids.convert.places import Known

        for gathered, owner in cut_series.taken_up(self._archive, self._room, self._known.owner):
            ours = owner == self._known.owner
            if ours and gathered.sequel < 0:
                self._cut.add(gathered)
            else:
                self._try(gathered, self._known if ours else Known(owner), last=not ours)

    def _try(self, gathered: Gathered, known: Known, *, last: bool) -> None:
        """Place a series; whatever goes wrong costs that series only, which waits for the next recovery."""
        try:
            outcome = self._place(gathered, known, last=last)
        except (RtbidsError, OSError) as error:
            logger.warning("series %d waits for the next rtbids on this data set: %s", gathered.number, error)
            outcome = "waiting"
        except Exception as error:  # whatever stands in a stranger's header: the other series go on
            why = type(error).__name__  # its words may hold what the header says of a patient
            logger.warning("series %d waits for the next rtbids on this data set: %s", gathered.number, why)
            outcome = "waiting"
        if gathered.reason and outcome == "kept in sourcedata":
            self._in_no_volume += gathered.images
        elif outcome:
            self._counts[outcome] += 1
        if outcome:
            self._forget(gathered)

    def _place(self, gathered: Gathered, known: Known, *, last: bool) -> str:
        """Convert a series and put its images in place; return what became of it, nothing where it is postponed."""
        from rtbids.archive.waiting import Waiting

        waiting = Waiting(gathered.place.parent)
        if gathered.sequel >= 0:
            waiting.note({**asdict(gathered), "place": "", "owner": dict(known.owner)})
        decisions, outputs = self._decisions(gathered, known, last=last)
        if any(decision.wait for decision in decisions):
            self._postponed.append(gathered)
            return ""
        return self._settle(gathered, waiting, known, decisions, outputs)

    def _forget(self, gathered: Gathered) -> None:
        """Remove what dcm2niix made of a series that is tried no more."""
        self._outputs.pop(gathered.place, None)
        for made in gathered.place.parent.glob("made-*"):
            shutil.rmtree(made, ignore_errors=True)

    def _decisions(self, gathered: Gathered, known: Known, *, last: bool) -> tuple[list[Decision], list[Output]]:
        from rtbids.convert import places

        reason = _unfinished(gathered)
        try:
            outputs = [] if reason else self._converted(gathered.place)
        except BadData as error:
            reason, outputs = str(error), []
        if not outputs:
            reason = reason or "dcm2niix made no image of it"
            self.malformed += [reason] if gathered.sequel == 0 else []
            return [places.Decision(None, {}, reason)], []
        images = [(one.fields, bool(one.gradients)) for one in outputs]
        return places.decide_all(images, self._rules, known, last=last), outputs

    def _converted(self, dicom: Path) -> list[Output]:
        """Return what dcm2niix makes of a series, which it is asked for once."""
        from rtbids.convert import whole_series

        if dicom not in self._outputs:
            if reason := whole_series.screened(dicom):
                raise BadData(reason)
            made = Path(tempfile.mkdtemp(prefix="made-", dir=dicom.parent))
            identified = self._withheld.identified
            source = dicom if identified else self._clean.copy(dicom)
            self._outputs[dicom] = whole_series.convert(source, made, identified=identified)
        return self._outputs[dicom]

    def _settle(
        self, gathered: Gathered, waiting: Waiting, known: Known, decisions: list[Decision], outputs: list[Output]
    ) -> str:
        from rtbids.archive.placing import Aside

        reasons = dict.fromkeys(decision.reason for decision in decisions if decision.place is None)
        aside = Aside(gathered.number, gathered.description, gathered.images, "; ".join(reasons)) if reasons else None
        chosen = [pair for pair in zip(decisions, outputs, strict=False) if pair[0].place]  # no output for a mere reason
        for rule in dict.fromkeys(decision.rule for decision in decisions if decision.rule):
            logger.info("series %d: by the rule %s", gathered.number, rule)
        if aside:
            aside = aside if self._withheld.identified else self._cleaned(aside, waiting)
            logger.warning("%s", set_aside.said(aside, gathered, decisions, outputs))
        if not chosen and aside:
            self._archive.set_aside(waiting, known.owner, aside)
            return "kept in sourcedata"
        images = [_image(decision, output) for decision, output in chosen]
        for (decision, _), path in zip(chosen, self._archive.place_images(images, waiting, known.owner, aside), strict=True):
            logger.info("series %d is %s", gathered.number, path.name)
            assert decision.place is not None
            known.learn(decision.place, decision.fields, bids_entities.parse(path.name)[0].get("run"))
        return "placed"

    def _cleaned(self, aside: Aside, waiting: Waiting) -> Aside:
        """De-identify what is to be kept; images that may show who it is stay out of the data set, which the list says."""
        place = clean_series.apart(self._archive.root.resolve().name, aside.number)
        count = self._clean.keep(waiting.dicom, place)
        if not count:
            return aside
        text = "series %d: %d images cannot be de-identified and are kept outside the data set, readable by you alone: %s"
        logger.warning(text, aside.number, count, place)
        reason = f"{aside.reason}; {count} images that cannot be de-identified are not here"
        return replace(aside, images=max(aside.images - count, 0), reason=reason)


def _image(decision: Decision, output: Output) -> Image:
    from rtbids.archive.placing import Image

    where = decision.place
    assert where is not None
    besides = dict(output.gradients) if where.datatype == "dwi" else {}
    return Image(where.entities, where.datatype, where.suffix, output.nifti, decision.fields, besides)


def _unfinished(gathered: Gathered) -> str:
    """Say why the files are not a whole series."""
    if gathered.reason:
        return gathered.reason
    if gathered.sequel < 0:
        return "the rtbids that took it in was stopped or killed while more of it may have been coming"
    return "these images came after the series was over" if gathered.sequel else ""
