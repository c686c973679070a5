"""The numbers of the current volume, as a run's tables have them."""

from __future__ import annotations

from rtbids.analysis import quality
from rtbids.analysis.motion_terms import POSE
from rtbids.run.chain.outcome import MotionSoFar
from rtbids.run.record.derived_tables import Measure


def of_quality(now: quality.Measures, so_far: quality.Summary, *, knows_motion: bool) -> dict[str, Measure]:
    return {
        "dvars": now.dvars,
        "global_signal": now.global_signal,
        "tsnr": now.tsnr,
        "spike": " ".join(now.spikes) or "none",
        "good": float(now.good),
        "good_minutes": so_far.good_minutes if knows_motion else None,
        "minutes_to_criterion": so_far.minutes_to_criterion if knows_motion else None,
    }


def of_motion(motion: MotionSoFar) -> dict[str, Measure]:
    if motion.converged:
        parameters: list[float | None] = [float(number) for number in motion.parameters]
    else:
        parameters = [None] * len(POSE)
    displacements = {"framewise_displacement": motion.framewise_displacement, "rmsd": motion.rms_displacement}
    return {**dict(zip(POSE, parameters, strict=True)), **displacements, "pose": motion.reason or "known"}
