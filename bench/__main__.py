"""``make bench``: what the loop costs, beside the usual way of doing the same, in one run.

A measurement is not a test: nothing here fails for being slow. Times are wall times of this machine as it is now; the ratios
are the sound part. Name some measurements to run only these: ``python bench latency append``.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests" / "analysis"))  # heads that moved, and pyOpenNFT
sys.path.append(str(Path(__file__).parent.parent / "tests" / "send"))  # servers to send to

import append
import chain
import conversion
import cuts
import deadlines
import deidentify
import glm
import latency
import link
import memory
import motion
import on
import outbox
import screen
import send
import shaped
import smoothing
import ssh_link
import startup
import store
import stream
import wire

MEASUREMENTS = {
    "startup": (startup.measure, "rtbids --help beside bare Python"),
    "wire": (wire.measure, "tar stream through a named pipe, 64×64×36 int16, beside tarfile"),
    "link": (link.measure, "a volume of 64×64×36 int16 over a link, with its receipt, beside a bare socket"),
    "on": (on.measure, "a volume of 64×64×36 int16 to a script behind a real sshd on loopback, beside one here"),
    "cuts": (cuts.measure, "400 volumes at TR 0.4 s, scripts behind an sshd whose connections are killed 20 times"),
    "shaped": (shaped.measure, "runs over a line of 20 Mbit/s and 40 ms at TR 1 s, and the largest volumes that are held"),
    "conversion": (conversion.measure, "DICOM → volume in process, beside dcm2niix, dicom2nifti and nibabel"),
    "append": (append.measure, "append to the archive, 64×64×36 int16, beside load, concatenate and save"),
    "memory": (memory.measure, "a 400-volume run, 64×64×36"),
    "store": (store.measure, "C-STORE from dcmtk's storescu, written before the answer, beside storescp and the disk"),
    "send": (send.measure, "200 files to Orthanc by C-STORE, REST and STOW-RS, beside dcmtk and pynetdicom"),
    "deidentify": (deidentify.measure, "a DICOM file in memory, beside pydicom alone and three other tools"),
    "outbox": (outbox.measure, "an outbox of 100,000 images: a look at it, memory while they are taken in"),
    "motion": (motion.measure, "realignment of heads that moved by a known amount, beside pyOpenNFT's core"),
    "smoothing": (smoothing.measure, "SPM's kernel and the integral it stands for, 64×64×36, beside python-rtspm"),
    "glm": (glm.measure, "linear model of 40.5k voxels × 13 columns, volume by volume, beside least squares anew"),
    "chain": (chain.measure, "the whole analysis of a volume, realignment to model, beside pyOpenNFT's core"),
    "deadlines": (deadlines.measure, "how late alternates leave, 5000 volumes, scripts that hang, raise, exit and eat memory"),
    "screen": (screen.measure, "the same with the screen drawn and its status asked for, and what a picture costs"),
    "latency": (latency.measure, "DICOM file in place → volume in the script, 64×64×27 mosaic, beside dcm2niix for each file"),
    "stream": (stream.measure, "rtbids stream of 64×64×36 int16 to a pipe behind sshd on loopback, beside a bare ssh pipe"),
    "ssh_link": (ssh_link.measure, "295,264-byte members over a link through sshd on loopback, beside a bare ssh pipe"),
}


def main(names: list[str]) -> int:
    if {"-h", "--help"} & set(names):
        print("python bench [NAME ...]: all measurements, or these\n")
        for name, (_, title) in MEASUREMENTS.items():
            print(f"  {name:<11} {title}")
        return 0
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        print(f"no measurement {', '.join(unknown)}; there are: {', '.join(MEASUREMENTS)}", file=sys.stderr)
        return 64
    for name in names or MEASUREMENTS:
        measure, title = MEASUREMENTS[name]
        print(f"\n{name}: {title}")
        for line in measure():
            print(f"  {line}", flush=True)
    return 0


sys.exit(main(sys.argv[1:]))
