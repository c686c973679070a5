"""Settings: from a YAML or TOML file to a frozen dataclass, every unknown, missing or mistyped key named.

Three steps, so that a value may come from elsewhere in between: `load` a file to a mapping, `assign` what the command line
sets over it, `read` the mapping as a dataclass.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from rtbids.errors import InputMissing, UsageFault

T = TypeVar("T")
_PLAIN = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}


class _Loader(yaml.SafeLoader):
    """YAML's safe subset, in which ``1e-3`` is a number as in YAML 1.2 (PyYAML alone reads it as text) and a date is text.

    A key that comes twice is refused, as YAML has it; PyYAML alone takes the last.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  PyYAML's own name and type
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[object, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line, known = key.start_mark.line + 1, (key.tag, key.value)
            if known in lines:
                twice = "comes twice" if lines[known] == line else f"is in line {lines[known]} too"
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} {twice}", problem_mark=key.start_mark)
            lines[known] = line
        return node


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+\Z"), list("-+0123456789"))


def load(path: Path) -> dict[str, Any]:
    """Read a ``.toml`` file as TOML, any other as YAML; an empty one is an empty mapping.

    Raises
    ------
    InputMissing
        There is no such file.
    UsageFault
        It is not well formed, or not a mapping; the message names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputMissing(f"{path}: no such file") from None
    except OSError as error:
        raise InputMissing(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageFault(f"{path}, byte {error.start}: expected UTF-8 text") from None
    settings = _toml(text, path) if path.suffix == ".toml" else _yaml(text, path)
    if not isinstance(settings, dict):
        raise UsageFault(f"{path}, line 1: expected keys and values, found {_found(settings)}")
    return settings


def assign(mapping: Mapping[str, object], text: str) -> dict[str, Any]:
    """Return `mapping` with one ``a.b=3`` set in it; the value is read as YAML, so 3 is a number and ``x`` is text."""
    key, equals, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise UsageFault(f"expected key=value, found {text!r}")
    try:
        return _with(mapping, parts, yaml.load(value, _Loader), key)
    except (yaml.YAMLError, ValueError):
        raise UsageFault(f"{key}: cannot read the value {value!r}", "put text with special signs in quotes") from None


def read(cls: type[T], mapping: Mapping[str, object], where: str) -> T:
    """Build the dataclass `cls` from `mapping`, its nested dataclasses included.

    Understood are bool, int (taken for a float too), float, str, Path, Literal, Enum (by value), dataclasses, ``X | None``
    and other unions, ``tuple[X, ...]``, ``tuple[X, Y]``, ``list[X]`` and ``dict[str, X]``. What a field's ``metadata`` says
    is for people and is not looked at.

    Raises
    ------
    UsageFault
        A key is unknown or missing, or a value has the wrong type; the message names `where`, the key and what was found.
    """
    return _dataclass(cls, mapping, where, "")


def _toml(text: str, path: Path) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).partition(" (at ")
        line = f", {place.rstrip(')').split(',')[0]}" if place.startswith("line") else ", last line"
        raise UsageFault(f"{path}{line}: {reason[0].lower()}{reason[1:]}") from None


def _yaml(text: str, path: Path) -> Any:
    try:
        settings = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageFault(f"{path}{line}: {error.problem or 'not YAML'}") from None
    except yaml.reader.ReaderError as error:
        line_number = text.count("\n", 0, error.position) + 1
        raise UsageFault(f"{path}, line {line_number}: {error.reason}") from None
    except ValueError as error:  # a value that is not what its tag says: !!int x
        raise UsageFault(f"{path}: {error}") from None
    return {} if settings is None else settings


def _with(mapping: Mapping[str, object], parts: Sequence[str], value: object, key: str) -> dict[str, Any]:
    first, *rest = parts
    if not rest:
        return {**mapping, first: value}
    inner = mapping.get(first)
    if inner is not None and not isinstance(inner, Mapping):
        raise UsageFault(f"{key}: {first} is {_found(inner)} and has no keys")
    return {**mapping, first: _with(inner or {}, rest, value, key)}


def _dataclass(cls: type[T], mapping: object, where: str, path: str) -> T:
    if not isinstance(mapping, Mapping):
        raise UsageFault(f"{where}: {path}: expected keys and values, found {_found(mapping)}")
    known = {field.name: field for field in fields(cls) if field.init}  # type: ignore[arg-type]
    for key in mapping:
        if key not in known:
            raise UsageFault(f"{where}: unknown key {_dotted(path, key)!r}{_nearest(str(key), list(known), path)}")
    for name, field in known.items():
        if name not in mapping and _is_required(field):
            raise UsageFault(f"{where}: missing key {_dotted(path, name)!r}")
    hints = get_type_hints(cls)
    values = {str(key): _value(hints[str(key)], value, where, _dotted(path, key)) for key, value in mapping.items()}
    try:
        return cls(**values)
    except ValueError as error:  # a __post_init__ that refuses a value
        raise UsageFault(f"{where}: {f'{path}: ' if path else ''}{error}") from None


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _nearest(key: str, known: list[str], path: str) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f", did you mean {_dotted(path, near[0])!r}?"
    return f", expected {_any_of(known)}" if known else ", expected none"


def _value(kind: Any, value: object, where: str, path: str) -> Any:
    """Return `value` as a `kind`; raise UsageFault where it is none."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any or kind is object:
        return value
    if is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(kind, value, where, path)
    if origin in (Union, types.UnionType):
        return _union(arguments, value, where, path)
    if origin in _COLLECTIONS or kind in _COLLECTIONS:
        return _COLLECTIONS[origin or kind](arguments, value, where, path)
    if origin is Literal:
        return _one_of({choice: choice for choice in arguments}, value, where, path)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _one_of({member.value: member for member in kind}, value, where, path)
    return _plain(kind, value, where, path)


def _plain(kind: Any, value: object, where: str, path: str) -> Any:
    if kind is type(None) and value is None:
        return None
    if kind is float and type(value) is int:
        return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind in _PLAIN and type(value) is kind:
        return value
    raise _mistyped(kind, value, where, path)


def _union(kinds: tuple[Any, ...], value: object, where: str, path: str) -> Any:
    exact = [kind for kind in kinds if kind is type(value)]  # int | float keeps an int an int
    refusals = []
    for kind in [*exact, *kinds]:
        try:
            return _value(kind, value, where, path)
        except UsageFault as refusal:
            refusals.append(refusal)
    # A section that is there but wrong inside is told by what is wrong inside it.
    sections = [kind for kind in kinds if is_dataclass(kind) or get_origin(kind) is dict]
    if isinstance(value, Mapping) and len(sections) == 1:
        raise refusals[[*exact, *kinds].index(sections[0])]
    raise UsageFault(f"{where}: {path}: expected {_any_of([_expected(kind) for kind in kinds])}, found {_found(value)}")


def _one_of(choices: Mapping[Any, Any], value: object, where: str, path: str) -> Any:
    for choice, meant in choices.items():
        if type(choice) is type(value) and choice == value:
            return meant
    expected = _any_of([_found(choice) for choice in choices])
    raise UsageFault(f"{where}: {path}: expected {expected}, found {_found(value)}")


def _list(arguments: tuple[Any, ...], value: object, where: str, path: str) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise _mistyped(list, value, where, path)
    kind = arguments[0] if arguments else Any
    return [_value(kind, each, where, f"{path}[{place}]") for place, each in enumerate(value)]


def _tuple(arguments: tuple[Any, ...], value: object, where: str, path: str) -> tuple[Any, ...]:
    if not arguments or arguments[-1] is Ellipsis:
        return tuple(_list(arguments[:1], value, where, path))
    if not isinstance(value, (list, tuple)) or len(value) != len(arguments):
        found = f"a list of {len(value)}" if isinstance(value, (list, tuple)) else _found(value)
        raise UsageFault(f"{where}: {path}: expected a list of {len(arguments)}, found {found}")
    pairs = zip(arguments, value, strict=True)
    return tuple(_value(kind, each, where, f"{path}[{place}]") for place, (kind, each) in enumerate(pairs))


def _dict(arguments: tuple[Any, ...], value: object, where: str, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _mistyped(dict, value, where, path)
    kind = arguments[1] if arguments else Any
    return {str(key): _value(kind, each, where, _dotted(path, key)) for key, each in value.items()}


_COLLECTIONS: Mapping[Any, Callable[..., Any]] = {
    list: _list,
    tuple: _tuple,
    dict: _dict,
    Sequence: _tuple,  # an unchanging value for an unchanging type
    Mapping: _dict,
}


def _mistyped(kind: Any, value: object, where: str, path: str) -> UsageFault:
    return UsageFault(f"{where}: {path}: expected {_expected(kind)}, found {_found(value)}")


def _expected(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return _any_of([_found(choice) for choice in get_args(kind)])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _any_of([_found(member.value) for member in kind])
    kind = get_origin(kind) or kind
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind is type(None):
        return "null"
    return "a list" if kind in (list, tuple, Sequence) else "keys and values"


def _found(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float, str)):
        return repr(value)
    return "a list" if isinstance(value, (list, tuple)) else "keys and values" if isinstance(value, Mapping) else str(value)


def _any_of(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _dotted(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
