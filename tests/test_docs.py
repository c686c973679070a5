"""The documentation says what is so: every command and option is in it, and every command line in it is understood."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import click
import pytest

from rtbids.cli.main import cli

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
KINDS = ("tutorial", "how-to", "reference", "explanation")


def program(name: str) -> ModuleType:
    """Return a program of the documentation as a module, under the name by which the others there import it."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ATTRIBUTES = program("attributes")
PRIVATE_ELEMENTS = program("private_elements")
PROFILE_TABLE = program("profile_table")
GENERATE = program("generate")
LISTS = [
    (page.name, found)
    for page in GENERATE.OF_ATTRIBUTES
    for found in ATTRIBUTES.BLOCK.finditer(page.read_text(encoding="utf-8"))
]
CONTEXTS: list[click.Context] = list(GENERATE.contexts(cli, "rtbids"))
BY_PATH = pytest.mark.parametrize("ctx", CONTEXTS, ids=lambda ctx: ctx.command_path)


def test_the_page_of_commands_is_what_help_says() -> None:
    written = (DOCS / "reference" / "commands.rst").read_text(encoding="utf-8")
    assert written == GENERATE.page(), "commands have changed: make docs"


@pytest.mark.parametrize("program", [PRIVATE_ELEMENTS, PROFILE_TABLE], ids=lambda program: program.PAGE.name)
def test_the_pages_of_elements_are_what_the_rules_say(program: ModuleType) -> None:
    assert program.PAGE.read_text(encoding="utf-8") == program.page(), "the rules have changed: make docs"


@pytest.mark.parametrize("page", GENERATE.OF_ATTRIBUTES, ids=lambda page: page.name)
def test_the_pages_of_attributes_are_what_the_code_says(page: Path) -> None:
    written = page.read_text(encoding="utf-8")
    assert written == ATTRIBUTES.filled(written), "the code has changed: make docs"


@pytest.mark.parametrize(
    ("page", "found"), [each for each in LISTS if each[1][1] != "parameters"], ids=lambda each: str(each)[:80]
)
def test_every_public_name_of_what_a_script_sees_is_written_out_or_left_out_by_name(page: str, found: re.Match[str]) -> None:
    cls = ATTRIBUTES.named(found[2])
    fields = [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []
    public = {name for name in [*dir(cls), *fields] if not name.startswith("_")}
    headings = re.findall(r"^``(?:[\w.]+\.)?(\w+)(?:\(.*\))?`` : \S", found[0], flags=re.MULTILINE)
    left_out = (found[4] or "").split()
    assert sorted(set(headings)) == sorted(headings)
    assert public <= {*headings, *left_out}
    assert set(left_out) <= public, "left out, and no longer there"


def test_what_a_script_is_given_is_among_the_pages_of_attributes() -> None:
    listed = {found[2].rpartition(".")[2] for _, found in LISTS}
    assert {
        "Volume",
        "Run",
        "Roi",
        "Event",
        "EventsSoFar",
        "Response",
        "Sent",
        "EarlierRun",
        "Decoding",
        "Config",
        "Analysis",
    } <= listed


def test_every_method_that_takes_something_has_an_example_that_may_be_called_so() -> None:
    asked = {}
    for _, found in LISTS:
        cls = ATTRIBUTES.named(found[2])
        for name in re.findall(r"^``[\w.]+\.(\w+)\([^)]", found[0], flags=re.MULTILINE) if inspect.isclass(cls) else ():
            asked[f"{cls.__name__}.{name}"] = getattr(cls, name)
    assert asked.keys() == ATTRIBUTES.EXAMPLES.keys()
    for name, method in asked.items():
        calls_of_it = [
            node
            for node in ast.walk(ast.parse(ATTRIBUTES.EXAMPLES[name], mode="eval"))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name.split(".")[1]
        ]
        assert calls_of_it, name
        for node in calls_of_it:
            inspect.signature(method).bind(None, *node.args, **{word.arg: word.value for word in node.keywords if word.arg})


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("tuple[str, ...] | None", "tuple of texts or None"),
        ("Literal['a', 'b'] | float", "``a``, ``b`` or number"),
        ("dict[str, float] | bool", "dict of numbers, True or False"),
        ("NDArray[np.bool_]", "array of True and False"),
    ],
)
def test_types_are_said_in_words(annotation: str, words: str) -> None:
    assert ATTRIBUTES.in_words(annotation, ATTRIBUTES.filled) == words


@BY_PATH
def test_every_option_is_in_the_page_of_commands_and_says_what_it_does(ctx: click.Context) -> None:
    section = sections()[ctx.command_path]
    for option in options_of(ctx):
        assert option.help, option.name
        assert all(name in section for name in [*option.opts, *option.secondary_opts])


@BY_PATH
def test_no_option_name_stands_for_two_things(ctx: click.Context) -> None:
    names = [name for option in options_of(ctx) for name in [*option.opts, *option.secondary_opts]]
    assert sorted(names) == sorted(set(names))


@BY_PATH
def test_every_command_shows_an_example(ctx: click.Context) -> None:
    if ctx.parent is not None:
        assert list(lines_of_help(ctx)), "an indented line that begins with rtbids"


def options_of(ctx: click.Context) -> list[click.Option]:
    return [each for each in ctx.command.get_params(ctx) if isinstance(each, click.Option) and not each.hidden]


def sections() -> dict[str, str]:
    """Return the text of the page of commands by title."""
    parts = re.split(r"^(.+)\n-+\n", (DOCS / "reference" / "commands.rst").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def pages() -> list[Path]:
    return [ROOT / "README.rst", *sorted(file for kind in KINDS for file in (DOCS / kind).rglob("*.rst"))]


def console_lines(text: str) -> Iterator[str]:
    """Yield what is typed at ``$`` in the console blocks of a page, continued lines joined."""
    for block in re.findall(r"^( *)\.\. code-block:: console\n((?:\1 +.*\n|\s*\n)+)", text, flags=re.MULTILINE):
        joined = re.sub(r"\\\n\s*(?:> )?", " ", block[1])
        yield from (line.strip()[2:] for line in joined.splitlines() if line.strip().startswith("$ "))


def lines_of_help(ctx: click.Context) -> Iterator[str]:
    text = re.sub(r"\\\n\s*", " ", ctx.command.help or "")
    yield from (line.strip() for line in text.splitlines() if line.strip().startswith("rtbids "))


def calls(line: str) -> Iterator[list[str]]:
    """Yield the words of each call of rtbids in a shell line, redirections left out."""
    words: list[str] = []
    tokens = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    tokens.whitespace_split = True
    skip = False
    for word in [*tokens, ";"]:
        if set(word) <= set("|&;()"):
            if words[:1] == ["rtbids"]:
                yield words[1:]
            words, skip = [], False
        elif set(word) <= set("<>"):
            skip = True
        elif skip:
            skip = False
        else:
            words.append(word)


EXAMPLES = [
    *[(str(page.relative_to(ROOT)), line) for page in pages() for line in console_lines(page.read_text(encoding="utf-8"))],
    *[(ctx.command_path, line) for ctx in CONTEXTS for line in lines_of_help(ctx)],
]


@pytest.mark.parametrize(("where", "line"), [(where, line) for where, line in EXAMPLES if "rtbids" in line])
def test_every_command_line_in_the_documentation_is_understood(where: str, line: str) -> None:
    for words in calls(line):
        understand(words)


def takes_arguments(command: click.Command) -> bool:
    """Say whether a command with commands has arguments of its own, so that a word may be one of either."""
    return any(isinstance(one, click.Argument) for one in command.params)


def understand(words: list[str]) -> None:
    """Parse a call as the command would, options, types and arguments; raise click's error where it is none."""
    command: click.Command = cli
    ctx = click.Context(cli, info_name="rtbids")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        below = command.get_command(ctx, words[0])
        if below is None and takes_arguments(command):
            break
        assert below is not None, f"no command {words[0]}"
        command, words = below, words[1:]
    with suppress(click.exceptions.Exit):  # --help
        command.make_context(command.name, list(words))


@pytest.mark.parametrize("line", ["rtbids fly x", "rtbids watch x --wings", "rtbids watch", "rtbids run e --backlog some"])
def test_a_command_line_that_is_wrong_is_noticed(line: str) -> None:
    with pytest.raises((click.UsageError, AssertionError)):
        understand(shlex.split(line)[1:])


def test_the_pages_have_examples_to_check() -> None:
    checked = {where for where, line in EXAMPLES if list(calls(line))}
    assert {"README.rst", "docs/tutorial/first-run.rst"} <= checked


def test_each_kind_of_page_is_there_and_in_the_index() -> None:
    index = (DOCS / "index.rst").read_text(encoding="utf-8")
    listed = set(re.findall(r"^   ([\w/-]+)$", index, flags=re.MULTILINE))
    found = {str(page.relative_to(DOCS).with_suffix("")) for page in pages() if page.is_relative_to(DOCS)}
    assert listed == found
