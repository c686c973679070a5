"""What a class offers, written out in plain reStructuredText: each attribute and method, with its type in words.

A page names a class in a comment, and what stands between it and the next such comment is made by ``make docs``::

    .. attributes of rtbids.volume.Volume as volume, without: at header

    .. end of attributes

Likewise ``keys of`` the dataclass of a config, and ``parameters of`` a function.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Literal, get_args, get_origin

WIDTH = 132
BLOCK = re.compile(
    r"^\.\. (attributes|keys|parameters) of ([\w.]+)(?: as (\S+?))?(?:, without: ([\w ]+))?\n\n(?:.*?\n)??\.\. end of \1\n",
    re.DOTALL | re.MULTILINE,
)
WORDS = {
    "Any": "anything",
    "Array": "array",
    "NDArray": "array",
    "Path": "path",
    "Analysis": "keys as in `The analysis`_",
    "Console": "see `Files at the console`_",
    "Decoder": "see `What was trained`_",
    "Decoding": "see `In a run`_",
    "Design": "see `The model of the whole brain`_",
    "EarlierRun": "see `An earlier run`_",
    "EarlierTable": "see `A table of an earlier run`_",
    "Entities": "dict of texts",
    "Events": "see `Events`_",
    "EventsSoFar": "see `Events`_",
    "GlmSoFar": "see `The model of the whole brain`_",
    "Grid": "shape and affine",
    "Limits": "keys of its own",
    "Measures": "see below",
    "Metadata": "dict",
    "MotionSoFar": "see `Motion`_",
    "Pose": "see below",
    "QualitySoFar": "see `Quality`_",
    "Reference": "keys of its own",
    "Region": "keys of its own",
    "Roi": "see `A region`_",
    "StudySoFar": "see `The data set before this run`_",
    "Summary": "see below",
    "Value": "number, dict or None",
    "Volumes": "see `Volumes`_",
    "bytes": "bytes",
    "float": "number",
    "int": "whole number",
    "object": "any value",
    "str": "text",
}
SEVERAL = {
    "EarlierRun": "earlier runs",
    "Entry": "entries",
    "Event": "events",
    "Path": "paths",
    "Response": "responses",
    "Sent": "feedback that left",
    "Volume": "volumes",
    "float": "numbers",
    "int": "whole numbers",
    "str": "texts",
}
# A line to try of each method that takes something; of one that takes nothing its heading is one.
EXAMPLES = {
    "Console.list": '[entry.name for entry in run.console.list("series_0005", pattern="*.dcm") if entry.size]',
    "Console.newest": 'run.console.newest("*/*.dcm")',
    "Console.read": 'run.console.read("physio/respiration.log", timeout=0.5)',
    "Console.text": 'run.console.text("protocol.txt")',
    "Console.write": 'run.console.write("next_trial.txt", "face")',
    "Decoder.decision": "decoder.decision(change)[0] > 0",
    "Decoder.probabilities": "decoder.probabilities(decoder.decision(change))",
    "Decoding.decision": 'run.decoding.decision("face")',
    "Decoding.probability": 'run.decoding.probability("face")',
    "EarlierRun.effect": 'earlier.effect("faces")[run.roi("target").mask].mean()',
    "EarlierRun.feedback": "[sent.value for sent in earlier.feedback()]",
    "EarlierRun.t": 'earlier.t("faces").max()',
    "EarlierRun.table": 'earlier.table("latency")["received"]',
    "EarlierTable.texts": 'earlier.motion.texts("pose")',
    "EventsSoFar.covers": 'run.events.covers("face", numpy.arange(30) * run.repetition_time, run.repetition_time)',
    "EventsSoFar.during": "run.events.during(10.0, 12.0)",
    "GlmSoFar.beta": 'run.glm.beta("face")',
    "GlmSoFar.effect": 'run.glm.effect("faces")',
    "GlmSoFar.mean_t": 'run.glm.mean_t("faces", run.roi("target").mask)',
    "GlmSoFar.reason": 'run.glm.reason("faces")',
    "GlmSoFar.t": 'run.glm.t("faces")',
    "MotionSoFar.resliced": "run.motion.resliced(volume)",
    "Roi.correlation": 'run.roi("left").correlation(run.roi("right"), window=15)',
    "Roi.decoding": 'run.roi("voxels").decoding(rtbids.read_decoder("decoder.npz"))',
    "Roi.difference": 'run.roi("left").difference(run.roi("right"))',
    "Roi.percent_signal_change": 'run.roi("target").percent_signal_change(baseline="rest", window="block", skip=3)',
    "Roi.ratio": 'run.roi("left").ratio(run.roi("right"))',
    "Roi.scaled_signal_change": 'run.roi("target").scaled_signal_change(baseline="rest")',
    "Run.events_of": "[event.trial_type for event in run.events_of(volume)]",
    "Run.roi": 'run.roi("target").mean()',
    "Run.set_alternate": "run.set_alternate(0.0)",
    "StudySoFar.latest": 'run.study.latest(task="localizer")',
    "StudySoFar.runs": 'len(run.study.runs(session="01"))',
}


def filled(page: str) -> str:
    """Return a page with what stands between its comments made anew."""
    return BLOCK.sub(lambda found: f"{found[0].partition(chr(10))[0]}\n\n{block(found)}\n.. end of {found[1]}\n", page)


def block(found: re.Match[str]) -> str:
    """Return the definition list that a comment asks for."""
    kind, path, name, without = found.groups()
    if kind == "parameters":
        return _function(named(path), name)
    cls = named(path)
    said = documented(cls)
    entries = []
    for attribute in public(cls):
        if attribute not in (without or "").split():
            entries.append(_key(cls, attribute, said) if kind == "keys" else _entry(cls, attribute, name, said))
    return "\n".join(entries)


def named(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def public(cls: type) -> list[str]:
    """Return the names of what a class offers: fields first, then what it works out, in the order of the source."""
    fields = [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []
    told = [name for name in documented(cls) if name not in fields]
    worked_out = [name for each in reversed(cls.__mro__[:-1]) for name in vars(each)]
    every = dict.fromkeys([*fields, *(name for name in told if name in _given(cls)), *worked_out])
    return [name for name in every if not name.startswith("_")]


def _given(cls: type) -> set[str]:
    """Return what ``__init__`` sets."""
    return set(re.findall(r"self\.(\w+)", inspect.getsource(cls)))


def documented(cls: type) -> dict[str, str]:
    """Return what the section Attributes of a docstring says, by name."""
    return {name: text for each in reversed(cls.__mro__[:-1]) for name, text in _section(each, "Attributes").items()}


def _section(documented: object, title: str) -> dict[str, str]:
    section = re.search(rf"^{title}\n-+\n(.*?)(?=^\w+\n-+\n|\Z)", inspect.getdoc(documented) or "", re.DOTALL | re.MULTILINE)
    parts = re.split(r"^(\S.*)\n", section[1] if section else "", flags=re.MULTILINE)[1:]
    texts = zip(parts[::2], map(textwrap.dedent, parts[1::2]), strict=True)
    return {name: text.strip() for names, text in texts for name in names.split(", ")}


def _entry(cls: type, name: str, called: str, said: dict[str, str]) -> str:
    found = inspect.getattr_static(cls, name, None)
    if inspect.isfunction(found):
        example = EXAMPLES.get(f"{cls.__name__}.{name}")
        more = f"\n\nExample: ``{example}``" if example else ""
        heading = f"``{called}.{name}({parameters(found)})``"
        return _definition(heading, in_words(found.__annotations__["return"], cls), _first(found) + more)
    if isinstance(found, property | cached_property):
        function: Any = found.fget if isinstance(found, property) else found.func
        kind = in_words(function.__annotations__["return"], cls)
        return _definition(f"``{called}.{name}``", kind, said.get(name) or _first(function))
    return _definition(f"``{called}.{name}``", in_words(_annotation(cls, name), cls), said[name])


def _key(cls: type, name: str, said: dict[str, str]) -> str:
    (field,) = [each for each in dataclasses.fields(cls) if each.name == name]
    kind = in_words(str(field.type).removesuffix(" | None"), cls)
    for python, yaml in (("True", "true"), ("False", "false"), ("dict of", "names, each with"), ("tuple of", "list of")):
        kind = kind.replace(python, yaml)
    if field.default not in (None, (), dataclasses.MISSING):
        kind += f"; by default ``{str(field.default).lower()}``"
    return _definition(f"``{name}``", kind, said[name])


def _function(function: Callable[..., Any], called: str) -> str:
    """Return a function's heading and what it says of each parameter."""
    given = inspect.signature(function).parameters
    said = _section(function, "Parameters")
    kind = in_words(function.__annotations__["return"], function)
    heading = f"``{called}({', '.join(map(_parameter, given.values()))})`` : {kind}\n    {plain(_first(function))}\n"
    each = (_definition(f"``{name}``", in_words(one.annotation, function), said[name]) for name, one in given.items())
    return "\n".join([heading, *each])


def _definition(term: str, kind: str, text: str) -> str:
    paragraphs = [" ".join(paragraph.split()) for paragraph in plain(text).split("\n\n")]
    wrapped = [_wrapped(paragraph) for paragraph in paragraphs]
    return f"{term} : {kind}\n" + "\n\n".join(wrapped) + "\n"


def _wrapped(paragraph: str) -> str:
    """Break a paragraph into lines, but for an example."""
    width = 10 * WIDTH if paragraph.startswith("Example: ") else WIDTH
    return textwrap.fill(paragraph, width, initial_indent="    ", subsequent_indent="    ")


def plain(text: str) -> str:
    """Return a docstring's text with its names as literals."""
    return re.sub(r"(?<!`)`(?:(?:\w+\.){2,})?([\w.]+)`(?!`)", r"``\1``", text)


def _first(function: Callable[..., Any]) -> str:
    """Return what a docstring says before its first section."""
    text = inspect.getdoc(function)
    assert text, f"{function.__qualname__} has no docstring"
    return re.split(r"\n\w+\n-+\n", text)[0].strip()


def parameters(function: Callable[..., Any]) -> str:
    """Return the parameters as they may be written in a call, with what they are where they are left out."""
    _, *given = inspect.signature(function).parameters.values()
    return ", ".join(_parameter(each) for each in given)


def _parameter(each: inspect.Parameter) -> str:
    if each.kind is each.VAR_KEYWORD:
        return "task=..., ..."  # entities are all that is asked for so
    return each.name if each.default is each.empty else f"{each.name}={each.default!r}".replace("'", '"')


def _annotation(cls: type, name: str) -> str:
    for each in cls.__mro__:
        if name in (annotations := inspect.get_annotations(each)):
            return str(annotations[name])
    source = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    for node in ast.walk(source):  # self.name: float | None = None, or a parameter that goes by this name
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute) and node.target.attr == name:
            return ast.unparse(node.annotation)
        if isinstance(node, ast.arg) and node.arg == name and node.annotation is not None:
            return ast.unparse(node.annotation)
    raise LookupError(f"{cls.__name__}.{name} has no type")


def in_words(annotation: object, where: object) -> str:
    """Return a type as one says it; `where` is what is so annotated, for names that only its module knows.

    Examples
    --------
    >>> in_words("tuple[str, ...] | None", filled)
    'tuple of text or None'
    """
    kinds = list(dict.fromkeys(_kinds(ast.parse(str(annotation), mode="eval").body, where)))
    *some, last = [kind for kind in kinds if kind != "None"] + ["None"] * ("None" in kinds)
    return f"{', '.join(some)} or {last}" if some else last


def _kinds(node: ast.expr, where: Any) -> Iterator[str]:
    match node:
        case ast.BinOp(left=left, right=right):
            yield from _kinds(left, where)
            yield from _kinds(right, where)
        case ast.Subscript(value=value, slice=inner):
            yield from _of(ast.unparse(value), inner, where)
        case _:
            name = ast.unparse(node).rpartition(".")[2]
            meant = vars(sys.modules[where.__module__]).get(name)
            choices = get_args(meant) if get_origin(meant) is Literal else ()
            if name == "bool":
                yield from ("True", "False")
                return
            yield from (f"``{choice}``" for choice in choices) if choices else (WORDS.get(name, name),)


def _of(outer: str, inner: ast.expr, where: object) -> Iterator[str]:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if outer == "Literal":
        yield from (f"``{ast.literal_eval(part)}``" for part in parts)
    elif outer == "NDArray":
        yield {"np.bool_": "array of True and False", "np.int_": "array of whole numbers"}.get(ast.unparse(inner), "array")
    elif outer in ("dict", "Mapping"):
        yield f"dict of {_several(parts[-1], where)}"
    elif outer in ("list", "tuple"):
        yield f"{outer} of {_several(parts[0], where)}"
    else:
        yield from (_several(inner, where),)


def _several(node: ast.expr, where: object) -> str:
    name = ast.unparse(node)
    return SEVERAL.get(name) or in_words(name, where)
