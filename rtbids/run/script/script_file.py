"""A researcher's script as a file: imported, looked through, its settings read."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from rtbids import config
from rtbids.errors import ExperimentFault, UsageFault
from rtbids.run.one_line import short
from rtbids.run.recipe.recipe import config_beside

CALLED_WITH: Mapping[str, Sequence[str]] = {
    "feedback": ("volume", "run"),
    "start": ("run",),
    "end": ("run",),
    "response": ("event", "run"),
}


def load(script: Path) -> ModuleType:
    """Import a script by path, its folder first on the path as when Python runs it."""
    if str(script.parent) not in sys.path:
        sys.path.insert(0, str(script.parent))
    spec = importlib.util.spec_from_file_location("experiment", script)
    if spec is None or spec.loader is None:
        raise ExperimentFault(f"{script}: not a Python script")
    module = importlib.util.module_from_spec(spec)
    sys.modules["experiment"] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ExperimentFault(f"{Path(error.filename or script).name}, line {error.lineno}: {error.msg}") from error
    except Exception as error:
        raise ExperimentFault(f"the script cannot be loaded: it {where(error, script)}") from error
    if not callable(getattr(module, "feedback", None)):
        raise ExperimentFault(f"{script}: expected a function feedback(volume, run), found none")
    for name, arguments in CALLED_WITH.items():
        if hasattr(module, name):
            _check_signature(getattr(module, name), name, arguments, script)
    return module


def _check_signature(function: object, name: str, arguments: Sequence[str], script: Path) -> None:
    """Raise ExperimentFault where `function` does not take what it is called with: at the scanner it would fail every time."""
    wanted = f"{name}({', '.join(arguments)})"
    if not callable(function):
        raise ExperimentFault(f"{script.name}: expected a function {wanted}, found {name} = {short(function)}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a type that does not tell
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        code = getattr(function, "__code__", None)
        line = f", line {code.co_firstlineno}" if code else ""
        found = f"{name}{signature.replace(return_annotation=inspect.Signature.empty)}"
        raise ExperimentFault(f"{script.name}{line}: expected {wanted}, found {found}", f"write: def {wanted}:") from None


def settings(module: ModuleType, given: Mapping[str, object], script: Path) -> object:
    """Return the script's ``Settings`` as the config gives them; a plain dict where the script has no such class."""
    declared = getattr(module, "Settings", None)
    if dataclasses.is_dataclass(declared) and isinstance(declared, type):
        return config.read(declared, given, f"{config_beside(script) or script}, settings")
    if given:
        raise UsageFault(
            f"{script}: the config has settings ({', '.join(given)}) but the script has no dataclass Settings",
            "declare them: @dataclass(frozen=True) class Settings",
        )
    return {}


def where(error: BaseException, script: Path) -> str:
    """Return ``raised ValueError: … (experiment.py, line 12)``, the line being the script's own."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == script]
    place = f" ({script.name}, line {frames[-1].lineno})" if frames else ""
    return f"raised {short(error)}{place}"
