"""What a script sees: the run that it is in. Attributes with an underscore are its experiment's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from rtbids.analysis.roi import Roi
from rtbids.bids.events import Event, EventsSoFar
from rtbids.errors import UsageFault
from rtbids.run.console.console import Console
from rtbids.run.deadlines import Value
from rtbids.run.past.sent import Sent
from rtbids.run.past.volumes import Volumes
from rtbids.run.past.volumes_so_far import VolumesSoFar
from rtbids.run.past.where import NOWHERE, Where
from rtbids.run.responses.responses import Response
from rtbids.run.script.values import checked
from rtbids.volume import Volume

if TYPE_CHECKING:
    from rtbids.analysis.design import Design
    from rtbids.run.chain.chain import Chain
    from rtbids.run.chain.outcome import GlmSoFar, MotionSoFar, QualitySoFar
    from rtbids.run.past.study_so_far import StudySoFar

T = TypeVar("T")


@dataclass
class Run:
    """What a script may ask about the run that it is in.

    Attributes
    ----------
    settings
        The script's ``Settings``, filled from the config; a plain dict where the script has no such class.
    entities
        ``{"subject": "01", "task": "nf", "run": "01"}``.
    repetition_time
        Seconds.
    events
        The run's events: those known beforehand, and those that came in so far.
    feedback
        What has left so far, in order.
    responses
        What came in so far, in order.
    console
        Files on the scanner's side (``--allow``).
    """

    settings: Any
    entities: Mapping[str, str]
    repetition_time: float
    events: EventsSoFar
    feedback: list[Sent] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    console: Console = field(default_factory=Console)
    _rois: dict[str, Roi] = field(default_factory=dict)
    _hand_over: Callable[[Value], None] = field(default=lambda value: None)
    _to_come: deque[Response] = field(default_factory=deque)  # those of a run that is replayed
    _chain: Chain | None = None
    _so_far: VolumesSoFar = field(default_factory=lambda: VolumesSoFar({}))
    _where: Where = NOWHERE
    _is_blank: bool = False  # whether a volume came that has no number
    _is_open: Callable[[str], bool] = field(default=lambda name: False)  # whether the script is in the run of this name

    def roi(self, name: str) -> Roi:
        """Return the region that ``rois:`` in the config names so."""
        if name not in self._rois:
            known = ", ".join(self._rois) or "none"
            raise UsageFault(f"no region {name!r}; the config's rois: {known}")
        return self._rois[name]

    @property
    def motion(self) -> MotionSoFar:
        """Where the head is (``analysis.motion`` in the config)."""
        return self._asked(self._chain.motion if self._chain else None, "motion", "motion: true")

    @property
    def quality(self) -> QualitySoFar:
        """How good the data are (``analysis.quality`` in the config)."""
        return self._asked(self._chain.quality if self._chain else None, "quality", "quality: true")

    @property
    def glm(self) -> GlmSoFar:
        """The model of the whole brain (``analysis.contrasts`` in the config)."""
        return self._asked(self._chain.glm if self._chain else None, "glm", "contrasts, such as {faces: face > scene}")

    @property
    def design(self) -> Design:
        """The regressors of the model (``analysis.contrasts``, ``drift``, ``motion_terms`` or ``nuisance`` in the config)."""
        return self._asked(self._chain.design if self._chain else None, "design", "contrasts, such as {faces: face > scene}")

    def _asked(self, found: T | None, name: str, key: str) -> T:
        if found is None:
            raise UsageFault(f"run.{name} is there where the config has analysis.{key}")
        return found

    @property
    def volumes(self) -> Volumes:
        """The volumes of this run so far, up to the current one."""
        return self._so_far.volumes

    @cached_property
    def study(self) -> StudySoFar:
        """The data set as it was when this run began: the one that is replayed, else that of ``--bids-dir``."""
        from rtbids.run.past import study_so_far

        return study_so_far.of(self.entities, self._where, self._is_open)

    def events_of(self, volume: Volume) -> tuple[Event, ...]:
        """Return the events that overlap the TR in which `volume` was measured."""
        return self.events.during(volume.index * self.repetition_time, (volume.index + 1) * self.repetition_time)

    def set_alternate(self, value: Value) -> None:
        """Set what goes out from now on when an answer is not there in time."""
        self._hand_over(checked(value))
