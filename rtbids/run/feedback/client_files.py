"""The files for the stimulus computer, as they are installed."""

from __future__ import annotations

from pathlib import Path

from rtbids.errors import CannotWrite, cannot_write

FILES = Path(__file__).with_name("clients")
NAMES = ("rtbids_client.py", "rtbids_thermometer.py", "rtbids_client.m", "rtbids_thermometer.m")


def put(folder: Path) -> list[Path]:
    """Copy the files into `folder`, which is made; raise CannotWrite where one that was changed is there, and copy none."""
    contents = {folder / name: (FILES / name).read_bytes() for name in NAMES}
    for path, content in contents.items():
        if path.exists() and (not path.is_file() or path.read_bytes() != content):
            raise CannotWrite(f"{path} is there and is another one", "name another folder, or remove it first")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in contents.items():
            path.write_bytes(content)
    except OSError as error:
        raise cannot_write(folder, error) from None
    return list(contents)
