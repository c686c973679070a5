"""The line of a key in a YAML file, for messages about what is wrong there."""

from __future__ import annotations

import re
from pathlib import Path

import yaml


def place(path: Path, key: str) -> str:
    """Return file and line of a key, or the file where the line is not to be found."""
    line = _line(path, key)
    return f"{path}, line {line}" if line else str(path)


def _line(path: Path, key: str) -> int | None:
    """Return the line of a key such as ``series[1].where.Modality`` in a YAML file, or of the nearest key around it."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader) if path.suffix != ".toml" else None
    except (OSError, ValueError, yaml.YAMLError):
        return None
    line, rest = None, key
    while rest and node is not None:
        line_here, node, rest = _step(node, rest)
        line = line_here or line
    return line


def _step(node: yaml.Node, key: str) -> tuple[int | None, yaml.Node | None, str]:
    """Go one key down: its line, what it holds, and what is left of the key; keys may hold points themselves."""
    if isinstance(node, yaml.SequenceNode) and (match := re.match(r"\[(\d+)\]\.?", key)):
        item = node.value[int(match[1])] if int(match[1]) < len(node.value) else None
        return (item.start_mark.line + 1 if item else None), item, key[match.end() :]
    if isinstance(node, yaml.MappingNode):
        for name, held in node.value:
            if key.startswith(str(name.value)) and key[len(name.value) : len(name.value) + 1] in ("", ".", "["):
                return name.start_mark.line + 1, held, key[len(name.value) :].removeprefix(".")
    return None, None, ""
