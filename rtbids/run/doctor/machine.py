"""The machine: processors, memory, and whether a run may go first."""

from __future__ import annotations

from dataclasses import dataclass

from rtbids.priority import first_in_line
from rtbids.run import resources
from rtbids.run.doctor.row import Finding, Row, look, ok, plain
from rtbids.run.doctor.spread import amount

ENOUGH_CORES = 2
ENOUGH_MEMORY = 1e9  # bytes free
_LIMIT = 'put the line "NAME - rtprio 10" for this user into /etc/security/limits.conf and log in again'


@dataclass(frozen=True)
class Machine:
    """Memory in bytes; `is_first` says whether real-time priority is allowed."""

    cores: float
    load: float | None
    memory: int | None
    memory_free: int | None
    is_first: bool


def examine() -> Finding:
    machine = here()
    return Finding("machine", judge(machine), plain(machine))


def here() -> Machine:
    counts = resources.counted({})
    found = resources.looked(counts, counts, None)
    with first_in_line() as is_first:
        return Machine(found.cores, found.load, found.memory, found.memory_free, is_first)


def judge(machine: Machine) -> tuple[Row, ...]:
    return (_processors(machine), *_memory(machine), _priority(machine))


def _processors(machine: Machine) -> Row:
    load = "" if machine.load is None else f", load {machine.load:.1f}"
    text = f"{machine.cores:g} cores{load}"
    if machine.cores < ENOUGH_CORES:
        return look("processors", text, "the run and the script want one each", "give it two or more")
    if machine.load is not None and machine.load > machine.cores:
        return look("processors", text, "other programs want more than there is: answers may be late", "end what is not needed")
    return ok("processors", text)


def _memory(machine: Machine) -> tuple[Row, ...]:
    if machine.memory is None or machine.memory_free is None:
        return ()
    text = f"{amount(machine.memory_free)} of {amount(machine.memory)} free"
    if machine.memory_free < ENOUGH_MEMORY:
        why = "what is swapped out comes back late"
        return (look("memory", text, why, f"end other programs until {amount(ENOUGH_MEMORY)} is free"),)
    return (ok("memory", text),)


def _priority(machine: Machine) -> Row:
    if machine.is_first:
        return ok("real time", "a run goes before other programs")
    return look("real time", "not allowed", "beside busy programs an alternate may leave 20 to 60 ms late", _LIMIT)
