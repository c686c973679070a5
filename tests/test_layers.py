"""Imports point down: each module may import from lower lines only, and never from its siblings."""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = """
__main__
cli          bids_app
serve
run
watch        replay       archive      send         catalog      paint
convert      deidentify   analysis
stream       pipeline     dicomnet
volume       bids
clock        config       nifti        receipt      wakeup       priority     csa          private      threads      plural
errors
sample_experiments
"""
ROOMS = """
doctor
control      far
loop
process
script
past         chain        console
report
record
responses
feedback     recipe
deadlines    one_line     stretches
"""  # of rtbids/run; "loop" is every other file that stands there


def lines(table: str) -> dict[str, int]:
    return {name: -place for place, line in enumerate(table.split("\n")) for name in line.split()}


LINE_OF = lines(LAYERS)
LINE_IN_RUN = lines(ROOMS)
PACKAGE_OF = {
    "rtbids": "rtbids",
    "cli": "rtbids.cli",
    "bids_app": "rtbids.bids_app",
    "sample_experiments": "rtbids.sample_experiments",
}
SAMPLES = "sample_experiments"  # use what any experimenter may: `import rtbids` and what is not rtbids at all
EXCEPTIONS = {
    ("rtbids", "rtbids.cli.sources"),  # `rtbids.volumes` for notebooks, looked up when it is asked for ...
    ("rtbids", "rtbids.analysis.decoder_file"),  # ... as are `rtbids.read_decoder` and `rtbids.write_decoder`
    ("rtbids", "rtbids.analysis.training"),  # ... and `rtbids.train_decoder`
    ("bids_app", "rtbids.cli.options"),  # the container's entry point shares the command's options ...
    ("bids_app", "rtbids.cli.main"),  # ... and its error frame
}
EXCEPTIONS_IN_RUN = {("loop", "rtbids.run.control.control")}  # the loop waits for the control socket as for anything else
BANNED_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}
BANNED_CALLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "eval"}

Import = tuple[str, int]  # dotted name, line


def modules() -> list[Path]:
    return [file for folder in PACKAGE_OF for file in sorted((ROOT / folder).rglob("*.py"))]


def dotted(file: Path) -> str:
    """Return the name that `file` is imported by once installed."""
    folder, *rest = file.relative_to(ROOT).with_suffix("").parts
    return ".".join([PACKAGE_OF[folder], *[part for part in rest if part != "__init__"]])


def layer(name: str) -> str:
    """Return the word that stands for the module `name` in LAYERS; ``rtbids`` for the package itself."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def imports(tree: ast.Module) -> Iterator[Import]:
    """Yield what a module imports, at its top, in functions and for type checking alike."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield "." * node.level + (node.module or ""), node.lineno
        elif isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "rtbids":
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module), node.lineno
        elif isinstance(node, ast.Call) and called(node) in ("importlib.import_module", "import_module", "__import__"):
            yield from ((str(a.value), node.lineno) for a in node.args[:1] if isinstance(a, ast.Constant))


def called(call: ast.Call) -> str:
    return ast.unparse(call.func)


def fault(module: str, imported: str) -> str | None:
    """Say what is wrong with `module` importing `imported`, or None."""
    if imported.startswith("."):
        return "relative imports are not used"
    top = imported.partition(".")[0]
    if top in ("cli", "bids_app", "sample_experiments"):
        return f"installed it is {PACKAGE_OF[top]}"
    if top != "rtbids" or imported in ("rtbids", "rtbids.__version__"):
        return None
    own, other = layer(module), layer(imported)
    if own == SAMPLES:
        return None if imported == "rtbids.volumes" else "a sample uses only what `import rtbids` gives"
    if own == other == "run":
        return fault_in_run(module, imported)
    if own == other or any(own == who and is_within(imported, what) for who, what in EXCEPTIONS):
        return None
    if other not in LINE_OF:
        return f"{other} has no line in LAYERS"
    if own not in LINE_OF:
        return f"{own} has no line in LAYERS"
    return None if LINE_OF[other] < LINE_OF[own] else f"{other} is not below {own}"


def room(name: str) -> str:
    """Return the word that stands in ROOMS for the module `name` of rtbids.run; ``loop`` for that package itself."""
    parts = name.split(".")
    return parts[2] if len(parts) > 2 and parts[2] in LINE_IN_RUN else "loop"


def fault_in_run(module: str, imported: str) -> str | None:
    """Say what is wrong with one module of rtbids.run importing another, or None."""
    own, other = room(module), room(imported)
    if own == other or any(own == who and is_within(imported, what) for who, what in EXCEPTIONS_IN_RUN):
        return None
    return None if LINE_IN_RUN[other] < LINE_IN_RUN[own] else f"{other} is not below {own}"


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("file", modules(), ids=dotted)
def test_imports_point_down(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    faults = [(line, name, why) for name, line in imports(tree) if (why := fault(dotted(file), name))]
    assert not faults


@pytest.mark.parametrize("file", modules(), ids=dotted)
def test_every_module_has_a_line_in_the_table(file: Path) -> None:
    assert layer(dotted(file)) in {*LINE_OF, "rtbids"}


def test_every_package_is_installed() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = {name for name in setup["options"]["packages"].split() if name.startswith("rtbids")}
    there = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "rtbids").rglob("__init__.py")}
    assert there - listed == set()


def test_every_room_of_a_run_has_a_line_and_every_line_is_there() -> None:
    top = ROOT / "rtbids" / "run"
    rooms = {init.parent.name for init in top.glob("*/__init__.py")}
    assert rooms <= set(LINE_IN_RUN)
    assert set(LINE_IN_RUN) - rooms - {"loop"} <= {file.stem for file in top.glob("*.py")}


@pytest.mark.parametrize("file", modules(), ids=dotted)
def test_nothing_is_pickled_and_no_shell_is_started(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    banned = [(line, name) for name, line in imports(tree) if name.partition(".")[0] in BANNED_MODULES]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            through_shell = any(word.arg == "shell" and not is_false(word.value) for word in node.keywords)
            pickled = any(word.arg == "allow_pickle" and not is_false(word.value) for word in node.keywords)
            if through_shell or pickled or called(node) in BANNED_CALLS:
                banned.append((node.lineno, called(node)))
    assert not banned


def is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


@pytest.mark.parametrize(
    ("module", "imported", "why"),
    [
        ("rtbids.errors", "rtbids.clock", "clock is not below errors"),
        ("rtbids.nifti", "rtbids.clock", "clock is not below nifti"),
        ("rtbids.watch.directory", "rtbids.archive.writer", "archive is not below watch"),
        ("rtbids.convert.bids", "rtbids.run.session", "run is not below convert"),
        ("rtbids.stream.wire", "rtbids.teleport", "teleport has no line in LAYERS"),
        ("rtbids.run.session", "cli.main", "installed it is rtbids.cli"),
        ("rtbids.run.session", ".deadlines", "relative imports are not used"),
        ("rtbids.sample_experiments.roi_feedback.experiment", "rtbids.analysis.roi", "a sample uses only what"),
        ("rtbids.run", "rtbids.cli.options", "cli is not below run"),
        ("rtbids.run.report.gather", "rtbids.run.session", "loop is not below report"),
        ("rtbids.run.past.sent", "rtbids.run.chain.chain", "chain is not below past"),
        ("rtbids.run.session", "rtbids.run.control.orders", "control is not below loop"),
    ],
)
def test_an_import_that_points_up_or_sideways_is_found(module: str, imported: str, why: str) -> None:
    assert why in str(fault(module, imported))


def test_imports_inside_functions_and_by_name_are_found() -> None:
    source = "def f():\n    from rtbids import cli\n    import importlib\n    importlib.import_module('rtbids.serve')\n"
    assert [name for name, _ in imports(ast.parse(source))] == ["rtbids.cli", "importlib", "rtbids.serve"]
