"""One experiment's part in one run: its deadlines, and the answers that wait until their volumes are safe."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from rtbids.run.deadlines import Deadlines, Line, Policy, WasCut
from rtbids.run.open_run import OpenRun
from rtbids.run.process.host import Answer, Connection
from rtbids.run.record import provenance
from rtbids.run.stretches import stretches

NAMED = 3  # volumes of a run at which the same error is said
logger = logging.getLogger("rtbids")


class Part:
    """What is outstanding of one experiment in one run; `at_console` counts what it asks for there, run after run.

    Attributes
    ----------
    analysed
        Whether the experiment is given the run's volumes, or they are recorded only.
    deadline
        In seconds after a volume's last byte, None for none.
    measured
        The latest volume of which it is known what the analysis found, -1 before the first.
    predicted
        The volumes whose answers were expected to miss their due time.
    withheld
        Those that nobody was asked about, as feedback was paused.
    restarts, given_up
        When the script was started again, and when it no longer was: the newest volume, and why.
    broken_off
        Why ``end(run)`` did not return.
    ended
        Whether ``end(run)`` is due or has been called; `over` when it has returned.
    """

    def __init__(
        self,
        run: OpenRun,
        policy: Policy,
        *,
        analysed: bool,
        at_console: Mapping[str, int] = MappingProxyType({}),
        was_cut: WasCut = lambda since: False,
        connection: Connection | None = None,
    ) -> None:
        self.run = run
        self.analysed = analysed
        self.deadlines = Deadlines(policy, was_cut)
        self.deadline: float | None = None
        self.measured = -1
        self.ended = False
        self.over = False
        self.predicted: list[int] = []
        self.withheld: list[int] = []
        self.restarts: list[Mapping[str, object]] = []
        self.given_up: Mapping[str, object] | None = None
        self.broken_off: str | None = None
        self._held: list[tuple[Answer, float]] = []
        self._stages: dict[int, dict[str, float]] = {}
        self._errors: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()  # of volumes alone
        self._answered = False
        self._at_console, self._before = at_console, dict(at_console)
        self._connection = connection

    def interruption(self, why: str) -> Mapping[str, object]:
        """Return what is kept of a script's being ended now."""
        return {"Volume": self.run.latest, "Reason": provenance.without_folders(why)}

    def give_up(self, why: str, *, in_end: bool) -> None:
        """Note that the script is started no more: in a run whose every line had left, its end alone is lost."""
        if in_end and self.ended:
            self.broken_off = provenance.without_folders(why)
        else:
            self.given_up = self.interruption(why)

    @property
    def outcome(self) -> Mapping[str, object]:
        """What there is to say of the script's part in the run, besides its lines."""
        given_up = {"GivenUp": self.given_up} if self.given_up else {}
        broken_off = {"EndBrokenOff": self.broken_off} if self.broken_off else {}
        paused = {"Paused": stretches(self.withheld)} if self.withheld else {}
        return {
            "PredictedMisses": self.predicted,
            "Restarts": self.restarts,
            **paused,
            **self._asked_at_console,
            **self._failed,
            **given_up,
            **broken_off,
        }

    def connected(self, now: Connection | None) -> Mapping[str, object]:
        """Return what there is to say of the way to the script's machine, during this run."""
        return now.told_since(self._connection) if now is not None and self._connection is not None else {}

    @property
    def _asked_at_console(self) -> Mapping[str, object]:
        """How many files there were read and written during the run, and how often it was refused, where that was."""
        counts = {what: count - self._before[what] for what, count in self._at_console.items()}
        return {"Console": counts} if any(counts.values()) else {}

    @property
    def _failed(self) -> Mapping[str, object]:
        """What the script failed with most, where it never answered."""
        if self._answered or not self._failures:
            return {}
        ((error, _),) = self._failures.most_common(1)
        return {"EveryVolumeFailed": provenance.without_folders(error)}

    def withhold(self, index: int, now: float) -> list[Line]:
        """Ask nobody about a volume that is here, as feedback is paused."""
        if not self.deadlines.is_overdue(index):
            self.withheld.append(index)
        return self.deadlines.withheld(index, now)

    def was_withheld(self, line: Line) -> bool:
        """Say whether a line is what it is because feedback was paused."""
        return line.reason == "deadline" and line.value is None and line.volume in self.withheld

    def hold(self, answer: Answer, now: float) -> None:
        """Keep an answer until its volume is safe."""
        self._held.append((answer, now))

    def note(self, answer: Answer) -> None:
        """Note when a volume passed the experiment's stages, and whether the script ever answered."""
        self._answered = self._answered or answer.error is None
        if answer.error is not None:
            self._failures[answer.error] += 1
        times = {"analysed": answer.analysed, "answered": answer.answered}
        self._stages[answer.volume] = {stage: moment for stage, moment in times.items() if moment is not None}

    def released(self, now: float, *, is_broken: bool) -> list[Line]:
        """Return the lines of the answers whose volumes are safe; at its due time an answer waits no longer.

        Where writing has failed (`is_broken`), the volumes that wait will never be safe: an alternate goes out instead.
        """
        lines: list[Line] = []
        for answer, came in list(self._held):
            if self.run.is_safe(answer.volume) or self.deadlines.is_due(answer.volume, now):
                self._held.remove((answer, came))
                lines += self.deadlines.answered(answer.volume, answer.value, now, came)
            elif is_broken:
                self._held.remove((answer, came))
                lines += self.deadlines.failed(answer.volume, now)
        return lines

    def stages(self, line: Line) -> Mapping[str, float]:
        """Return when the volume of a line that leaves passed the experiment's stages."""
        return {**self._stages.pop(line.volume, {}), "sent": line.sent}

    def warn(self, experiment: str, volume: int, error: str) -> None:
        """Say what the script failed with, not volume after volume where it is always the same."""
        self._errors[error] += 1
        if self._errors[error] <= NAMED:
            logger.warning("%s, volume %d: %s", experiment, volume, error)

    def fail(self, experiment: str, volume: int, error: str) -> None:
        """Say what the script failed with in place of an answer, and once where it never had one."""
        self.warn(experiment, volume, error)
        if not self._answered and self._failures.total() == NAMED:
            text = "%s: EVERY volume so far has failed, its feedback is alternates only: mend the script, then %s"
            logger.warning(text, experiment, f"rtbids status --restart {experiment}")

    def close(self, experiment: str) -> None:
        """Say how often what went wrong went wrong."""
        for error, count in self._errors.items():
            if count > NAMED:
                more = f"{count - NAMED} more volume{'s' if count - NAMED > 1 else ''}"
                logger.warning("%s, %s: %s", experiment, more, error)
        if self._failed:
            logger.warning("%s: EVERY volume failed, all of its feedback was alternates", experiment)
