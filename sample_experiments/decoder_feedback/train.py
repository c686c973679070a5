"""Train decoder.npz on a localizer run: python train.py RUN [CLASS CLASS ...] [--volumes N] [--mask MASK] [--to FILE].

RUN is a BIDS run (sub-01_task-localizer_bold.nii.gz) with its events, or a data set all of whose runs have both classes.
"""

import argparse
import sys
from itertools import islice
from pathlib import Path

import rtbids

HERE = Path(__file__).parent


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("run")
    options.add_argument("classes", nargs="*", default=["face", "scene"], help="trial types; by default face scene")
    options.add_argument("--volumes", type=int, metavar="N", help="take the first N volumes alone")
    options.add_argument("--mask", type=Path, default=HERE / "voxels.nii.gz")
    options.add_argument("--to", type=Path, default=HERE / "decoder.npz")
    given = options.parse_args()
    try:
        decoder = rtbids.train_decoder(islice(rtbids.volumes(given.run), given.volumes), given.mask, given.classes)
        rtbids.write_decoder(decoder, given.to)
    except Exception as error:  # what went wrong, and what to do
        sys.exit("\n".join(filter(None, [f"train.py: {error}", getattr(error, "hint", None)])))
    about = decoder.about
    accuracy = "not known" if about["accuracy"] is None else f"{about['accuracy']:.2f}"
    print(f"{given.to.name}: {about['volumes_per_class']}, accuracy {accuracy} (chance {about['chance']:.2f})")


if __name__ == "__main__":
    main()
