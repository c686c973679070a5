"""The series that are not functional, placed in the data set while the session goes on: a thread beside the run."""

from __future__ import annotations

import logging
import queue
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rtbids.bids import entities as bids_entities
from rtbids.errors import BadData, RtbidsError

if TYPE_CHECKING:
    from rtbids.archive.dataset import Archive
    from rtbids.archive.placing import Image
    from rtbids.archive.waiting import Waiting
    from rtbids.convert.places import Decision, Known
    from rtbids.convert.session import Gathered, Run, Session
    from rtbids.convert.whole_series import Output
    from rtbids.pipeline import Wakeup

logger = logging.getLogger("rtbids")
_LISTED = " (DICOM that names the patient, readable by you alone; see sourcedata/series.tsv)"


@dataclass(frozen=True)
class Choice:
    """Whether series that are not functional are placed, and by which rules; see the options of the same names."""

    all_series: bool = True
    session_map: Path | None = None


ALL = Choice()


@contextmanager
def placed(
    archive: Archive, choice: Choice, entities: Mapping[str, str], stop: Wakeup | None = None
) -> Iterator[Session | None]:
    """Give what takes the other series of a session; on leaving, wait until each has its place, and say what there is.

    `stop` is set where the source is told to end before its time: series that are still arriving then wait for their rest.
    """
    if not choice.all_series:
        yield None
        return
    placer = Placer(archive, choice, entities, stop)
    try:
        yield placer.session
    finally:
        placer.close()


class Placer:
    """Converts and places series that are over, one after the other, in a thread of low priority."""

    def __init__(self, archive: Archive, choice: Choice, entities: Mapping[str, str], stop: Wakeup | None = None) -> None:
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
        self._cut: list[Gathered] = []  # by a kill, while they arrived
        self._counts: Counter[str] = Counter()
        is_stopped = stop.is_set if stop is not None else lambda: False
        self.session = Session(self._folder, self._over.put, self._begun, is_stopped)
        # A daemon: after a second Ctrl-C nobody waits for it, and the next recovery does its work.
        self._thread = threading.Thread(target=self._run, name="placer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Place what is left, and say what became of the session's series."""
        from rtbids.cli import console

        self.session.finish()
        self._over.put(None)
        self._thread.join()
        self._room.close()
        self._archive.at_the_end(self._known.owner, self._rules.intended_for)
        if cut := self.session.cut:
            logger.warning(
                "%d series that were still arriving wait for their rest, which the next rtbids on this data set takes", cut
            )
        if self._counts:
            parts = [
                f"{self._counts[what]} series {what}"
                for what in ("placed", "kept in sourcedata", "waiting")
                if self._counts[what]
            ]
            console.say(f"not functional: {', '.join(parts)}{_LISTED if self._counts['kept in sourcedata'] else ''}")

    def _folder(self, number: int, description: str) -> Path:
        waiting = self._room.new()
        waiting.note({"number": number, "description": description, "owner": self._known.owner})
        return waiting.dicom

    def _begun(self, run: Run) -> None:
        """Hear of a functional run: a reference may wait for its name."""
        self._known.runs.append(run)
        self._over.put(run)

    def _run(self) -> None:
        from rtbids.archive.finish import yield_to_others
        from rtbids.convert.session import Gathered

        yield_to_others()
        self._take_up()
        while (heard := self._over.get()) is not None:
            if isinstance(heard, Gathered):
                self._try(self._joined(heard), self._known, last=False)
            self._retry(last=False)
        self._postponed += self._cut
        self._retry(last=True)

    def _joined(self, gathered: Gathered) -> Gathered:
        """Return a series with what had come of it before a kill: a rest of slices is no image."""
        from rtbids.convert import whole_series

        try:
            uids = set() if gathered.reason else whole_series.series_uids(gathered.place)
            for cut in [cut for cut in self._cut if uids & whole_series.series_uids(cut.place)]:
                gathered = replace(gathered, images=whole_series.join(cut.place, gathered.place))
                self._cut.remove(cut)
                shutil.rmtree(cut.place.parent)
        except OSError as error:
            return replace(gathered, reason=f"what came of it before a kill cannot be read ({error.strerror or error})")
        return gathered

    def _retry(self, *, last: bool) -> None:
        """Try again what waited for other series."""
        postponed, self._postponed = sorted(self._postponed, key=lambda gathered: gathered.number), []
        for gathered in postponed:
            self._try(gathered, self._known, last=last)

    def _take_up(self) -> None:
        """Place what a killed process left waiting; a series that was still arriving then waits for its rest.

        A reference whose run had not begun waits on, for the run that begins now.
        """
        from rtbids.convert.places import Known

        for left in self._archive.left_waiting():
            owner = left.facts().get("owner", self._known.owner)
            ours = owner == self._known.owner
            try:
                gathered = _left_over(self._room.adopt(left) if ours else left)
            except OSError as error:
                logger.warning("a series that an earlier rtbids left waits for the next one: %s", error.strerror or error)
                continue
            if ours and gathered.sequel < 0:
                self._cut.append(gathered)
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
        if outcome:
            self._counts[outcome] += 1

    def _place(self, gathered: Gathered, known: Known, *, last: bool) -> str:
        """Convert a series and put its images in place; return what became of it, nothing where it is postponed."""
        from rtbids.archive.waiting import Waiting

        waiting = Waiting(gathered.place.parent)
        if gathered.sequel >= 0:
            waiting.note({**asdict(gathered), "place": "", "owner": dict(known.owner)})
        made = Path(tempfile.mkdtemp(prefix="made-", dir=waiting.folder))
        try:
            decisions, outputs = self._decisions(gathered, known, made, last=last)
            if any(decision.wait for decision in decisions):
                self._postponed.append(gathered)
                return ""
            return self._settle(gathered, waiting, known, decisions, outputs)
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _decisions(self, gathered: Gathered, known: Known, made: Path, *, last: bool) -> tuple[list[Decision], list[Output]]:
        from rtbids.convert import places, whole_series

        if reason := _unfinished(gathered) or whole_series.screened(gathered.place):
            return [places.Decision(None, {}, reason)], []
        try:
            outputs = whole_series.convert(gathered.place, made)
        except BadData as error:
            return [places.Decision(None, {}, str(error))], []
        if not outputs:
            return [places.Decision(None, {}, "dcm2niix made no image of it")], []
        images = [(one.fields, bool(one.gradients)) for one in outputs]
        return places.decide_all(images, self._rules, known, last=last), outputs

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
            title = f"series {aside.number} ({aside.description or 'no description'})"
            what = f"{aside.images} images of {title} are" if gathered.reason else f"{title} is"
            logger.warning("%s kept as DICOM in sourcedata: %s", what, aside.reason)
        if not chosen and aside:
            self._archive.set_aside(waiting, known.owner, aside)
            return "kept in sourcedata"
        images = [_image(decision, output) for decision, output in chosen]
        for (decision, _), path in zip(chosen, self._archive.place_images(images, waiting, known.owner, aside), strict=True):
            logger.info("series %d is %s", gathered.number, path.name)
            assert decision.place is not None
            known.learn(decision.place, decision.fields, bids_entities.parse(path.name)[0].get("run"))
        return "placed"


def _left_over(waiting: Waiting) -> Gathered:
    """Return the series that a killed process left in a folder."""
    from rtbids.convert.session import Gathered

    facts, images = waiting.facts(), len(list(waiting.dicom.glob("*.dcm")))
    gathered = Gathered(waiting.dicom, int(facts.get("number", 0)), str(facts.get("description", "")), images)
    return replace(gathered, sequel=int(facts.get("sequel", -1)), reason=str(facts.get("reason", "")))


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
        return "the rtbids that took it in was killed before its last image"
    return "these images came after the series was over" if gathered.sequel else ""
