"""A decoder as a file: an ``.npz`` of plain numbers, and of JSON that says where they come from. Nothing in it can run."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.decode import AGAINST, LINKS, Decoder
from rtbids.analysis.space import Grid
from rtbids.errors import BadData, InputMissing, cannot_write

FORMAT = 1
_NUMBERS = ("coefficients", "intercept", "mean", "scale", "voxels", "shape", "affine")


def write(decoder: Decoder, path: str | Path) -> None:
    """Write `decoder`; what was at `path` stays until the new file is whole."""
    path = Path(path)
    staged = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with staged.open("wb") as file:
            np.savez_compressed(file, about=np.frombuffer(_about(decoder), np.uint8), **_arrays(decoder))
        os.replace(staged, path)
    except OSError as error:
        with suppress(OSError):
            staged.unlink()
        raise cannot_write(path, error) from None


def read(path: str | Path) -> Decoder:
    """Read what `write` wrote.

    Raises
    ------
    InputMissing
        Where there is no such file.
    BadData
        Where it is no decoder, or its parts do not fit each other.
    """
    try:
        with np.load(path) as file:
            arrays = {name: np.asarray(file[name]) for name in (*_NUMBERS, "about")}
        about = json.loads(arrays.pop("about").tobytes())
        model = about.pop("model")
        decoder = _decoder(arrays, model, about)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise InputMissing(f"{path}: the decoder cannot be read ({error.strerror})", "train one first") from None
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise BadData(f"{path}: not a decoder that rtbids wrote ({_reason(error)})", "train it again") from None
    if fault := _fault(decoder, model.get("mask_sha256")):
        raise BadData(f"{path}: the decoder is damaged: {fault}", "train it again")
    return decoder


def _reason(error: Exception) -> str:
    """Say what is wrong in a line, without numpy's advice to load it all the same."""
    said = str(error).partition("\n")[0]
    return "it is no archive of plain numbers" if "pickle" in said else said or type(error).__name__


def _about(decoder: Decoder) -> bytes:
    model = {
        "format": FORMAT,
        "classes": decoder.classes,
        "link": decoder.link,
        "against": decoder.against,
        "baseline": decoder.baseline,
        "delay": decoder.delay,
        "mask_sha256": decoder.mask_sha256,
    }
    return json.dumps({**decoder.about, "model": model}, ensure_ascii=False).encode()


def _arrays(decoder: Decoder) -> dict[str, Any]:
    own = {name: getattr(decoder, name) for name in ("coefficients", "intercept", "mean", "scale", "voxels")}
    return {**own, "shape": np.array(decoder.grid.shape), "affine": np.asarray(decoder.grid.affine)}


def _decoder(arrays: dict[str, NDArray[Any]], model: dict[str, Any], about: dict[str, Any]) -> Decoder:
    if model["format"] != FORMAT:
        raise ValueError(f"format {model['format']}, expected {FORMAT}")
    if model["link"] not in LINKS or model["against"] not in AGAINST:
        raise ValueError(f"link {model['link']!r}, against {model['against']!r}")
    i, j, k = (int(size) for size in arrays["shape"])
    numbers = {name: arrays[name].astype(np.float64) for name in ("coefficients", "intercept", "mean", "scale")}
    return Decoder(
        classes=tuple(str(name) for name in model["classes"]),
        voxels=arrays["voxels"].astype(np.int_),
        grid=Grid((i, j, k), arrays["affine"].astype(np.float64)),
        link=model["link"],
        against=model["against"],
        baseline=str(model["baseline"]),
        delay=float(model["delay"]),
        about=about,
        **numbers,
    )


def _fault(decoder: Decoder, mask_sha256: object) -> str | None:
    """Say what does not fit, or None."""
    count = decoder.voxels.size
    rows = 1 if len(decoder.classes) == 2 else len(decoder.classes)
    expected = {"coefficients": (rows, count), "intercept": (rows,), "mean": (count,), "scale": (count,)}
    for name, shape in expected.items():
        found = getattr(decoder, name)
        if found.shape != shape:
            return f"{name} are {found.shape}, expected {shape}"
        if not np.isfinite(found).all():
            return f"{name} that are no numbers"
    if len(decoder.classes) < 2 or (decoder.link, rows == 1) in (("logistic", False), ("softmax", True)):
        return f"classes {', '.join(decoder.classes)} with {decoder.link}"
    if not (decoder.scale > 0).all() or decoder.grid.affine.shape != (4, 4):
        return "a scale of 0, or a grid that is none"
    within = decoder.voxels.ndim == 1 and count and decoder.voxels.min() >= 0
    if not within or decoder.voxels.max() >= int(np.prod(decoder.grid.shape)):
        return "voxels outside its grid"
    return None if mask_sha256 == decoder.mask_sha256 else "its voxels are not those of its mask's sha256"
