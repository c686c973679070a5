"""A head with one active region whose signal is known: what the phantom scanner scans."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import factorial

import numpy as np
from numpy.typing import NDArray

AIR, SCALP, SKULL, FLUID, GREY, WHITE = 12.0, 650.0, 120.0, 1250.0, 1000.0, 800.0
HEAD = (76.0, 92.0, 84.0)  # half axes in mm; the centre of the field of view is the centre of the head
REGION_CENTRE, REGION_RADIUS = (-36.0, -22.0, 22.0), 11.0  # mm, RAS: about the right hand's motor cortex


@dataclass(frozen=True)
class Phantom:
    """A run of a head at rest, then at work, block after block.

    Attributes
    ----------
    shape, voxel
        Voxels and their size in mm along (i, j, k): right to left, posterior to anterior, inferior to superior.
    repetition_time
        Seconds.
    block
        Volumes a block; the first block is rest.
    effect
        Signal change of the active region in a long block, as a fraction of its signal at rest.
    noise
        Standard deviation of the noise as a fraction of grey matter's signal.
    drift
        Change of the whole head's signal over the run, as a fraction.
    """

    shape: tuple[int, int, int] = (64, 64, 27)
    voxel: tuple[float, float, float] = (3.0, 3.0, 4.0)
    repetition_time: float = 2.0
    volumes: int = 100
    block: int = 10
    effect: float = 0.02
    noise: float = 0.005
    drift: float = 0.002
    seed: int = 0

    @cached_property
    def affine(self) -> NDArray[np.float64]:
        """Voxel → mm, RAS+, as an axial series of a Siemens scanner has it: i runs to the left."""
        affine = np.diag([-self.voxel[0], self.voxel[1], self.voxel[2], 1.0])
        affine[:3, 3] = -affine[:3, :3] @ ((np.array(self.shape) - 1) / 2)
        affine.setflags(write=False)
        return affine

    @cached_property
    def anatomy(self) -> NDArray[np.float64]:
        """The head at rest, without noise (i, j, k)."""
        x, y, z = self._millimetres
        radius = np.sqrt((x / HEAD[0]) ** 2 + (y / HEAD[1]) ** 2 + (z / HEAD[2]) ** 2)
        folds = 0.05 * np.sin(x / 5.0) * np.cos(y / 6.0) + 0.03 * np.sin(z / 6.0 + y / 9.0)
        head = np.full(self.shape, AIR)
        for outer, signal in ((1.0, SCALP), (0.94, SKULL), (0.9, FLUID)):
            head[radius < outer] = signal
        head[radius + folds < 0.85] = GREY
        head[radius + 2 * folds < 0.68] = WHITE
        ventricles = ((abs(x) - 11.0) / 6.0) ** 2 + ((y - 2.0) / 24.0) ** 2 + ((z - 4.0) / 11.0) ** 2 < 1.0
        head[ventricles] = FLUID
        head[self.mask() > 0] = GREY
        return head

    @cached_property
    def response(self) -> NDArray[np.float64]:
        """Response of the active region (volumes,): 0 at rest, 1 on the plateau of a long block."""
        step = 0.05
        times = np.arange(0.0, self.volumes * self.repetition_time, step)
        at_work = (times // (self.block * self.repetition_time)) % 2 == 1
        answer = np.convolve(at_work, _haemodynamic(np.arange(0.0, 32.0, step)))[: times.size] * step
        return np.asarray(np.interp(np.arange(self.volumes) * self.repetition_time, times, answer), dtype=np.float64)

    @property
    def truth(self) -> NDArray[np.float64]:
        """Percent signal change of the active region against rest (volumes,), without noise and drift."""
        return 100.0 * self.effect * self.response

    @property
    def events(self) -> str:
        """The run's ``events.tsv``: the blocks of ``regulate``; what they leave is rest."""
        rows = ["onset\tduration\ttrial_type"]
        for first in range(self.block, self.volumes, 2 * self.block):
            length = min(self.block, self.volumes - first)
            rows.append(f"{first * self.repetition_time:g}\t{length * self.repetition_time:g}\tregulate")
        return "\n".join(rows) + "\n"

    def mask(self) -> NDArray[np.uint8]:
        """Return the active region (i, j, k): 1 inside, 0 outside."""
        squares = [(mm - centre) ** 2 for mm, centre in zip(self._millimetres, REGION_CENTRE, strict=True)]
        return (squares[0] + squares[1] + squares[2] < REGION_RADIUS**2).astype(np.uint8)

    def volume(self, index: int) -> NDArray[np.int16]:
        """Return volume `index` (i, j, k) as the scanner stores it: 12 bits. The same index gives the same voxels."""
        signal = self.anatomy * (1.0 + self.drift * index / self.volumes)
        signal += self._active * (self.effect * self.response[index])
        noise = np.random.default_rng((self.seed, index)).standard_normal(self.shape, dtype=np.float32)
        signal += noise * (self.noise * GREY)
        return np.clip(np.abs(np.rint(signal)), 0, 4095).astype(np.int16)

    @cached_property
    def _active(self) -> NDArray[np.float64]:
        return self.anatomy * self.mask()

    @cached_property
    def _millimetres(self) -> tuple[NDArray[np.float64], ...]:
        """x, y and z of each voxel (i, j, k)."""
        voxels = np.indices(self.shape).reshape(3, -1)
        places = self.affine[:3, :3] @ voxels + self.affine[:3, 3:]
        return tuple(axis.reshape(self.shape) for axis in places)


def _haemodynamic(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the canonical double-gamma response (peak at 5 s, undershoot at 15 s, 1 : 6) with a sum of one per second."""
    gamma = [times**power * np.exp(-times) / factorial(power) for power in (5, 15)]
    curve: NDArray[np.float64] = gamma[0] - gamma[1] / 6.0
    return curve / (5.0 / 6.0)
