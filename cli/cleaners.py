"""How to de-identify, from the options of a command: the site's key, its recipe, its service of identifiers."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rtbids.deidentify.by_recipe import Cleaner
    from rtbids.deidentify.mapping import Identifiers
    from rtbids.deidentify.profile import Options
    from rtbids.deidentify.recipe import Recipe

F = TypeVar("F", bound=Callable[..., Any])
_FILE = click.Path(dir_okay=False, path_type=Path)
_VALUES = ("dates", "descriptors", "private", "burned_in", "faces")
_RETAINED = ("device", "institution", "patient", "uids")


@dataclass(frozen=True)
class Rules:
    """What the options say; `given` are those of the profile that were named, which win over the recipe's."""

    given: Mapping[str, Any]
    key: Path | None = None
    recipe: Path | None = None
    recipe_partly: bool = False
    identifiers: str | None = None
    identifiers_token: Path | None = None
    identifiers_study: str = ""
    verify: bool = False


def rule_options(function: F) -> F:
    """Add what a recipe, a service and a search for survivors need; the command receives it as `rules`."""

    @functools.wraps(function)
    def command(*args: Any, retained: Options, **options: Any) -> Any:
        names = ("key", "recipe", "recipe_partly", "identifiers", "identifiers_token", "identifiers_study", "verify")
        taken = {name: options.pop(name) for name in names}
        return function(*args, rules=Rules(given(retained), **taken), **options)

    decorated: Any = command
    for option in (
        click.option("--verify", is_flag=True, help="Search each file for every value removed; write none that holds one."),
        click.option("--identifiers-study", default="", metavar="NAME", help="The study that the service is asked for."),
        click.option("--identifiers-token", type=_FILE, metavar="FILE", help="Its token; or $RTBIDS_IDENTIFIERS_TOKEN."),
        click.option("--identifiers", metavar="URL", help="Ask this service for the new patient IDs; nothing goes on without."),
        click.option("--recipe-partly", is_flag=True, help="Go on without the lines of a deid recipe that do not translate."),
        click.option("--recipe", type=_FILE, metavar="FILE", help="YAML or TOML: the site's own rules; or a recipe of deid."),
        click.option(
            "--key",
            type=click.Path(path_type=Path, readable=False),  # who reads it says better what to do
            metavar="FILE",
            help="The site's key; by default $RTBIDS_SITE_KEY or\n~/.config/rtbids/site.key.",
        ),
    ):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def cleaner(rules: Rules, pause: Callable[[float], object]) -> Cleaner:
    """Return what de-identifies; `pause` waits between tries to reach a service.

    Raises
    ------
    InputMissing, UsageFault
        The key, the recipe or the token is not there, or not what it should be.
    """
    from rtbids.cli import console
    from rtbids.deidentify import weakening
    from rtbids.deidentify.by_recipe import Cleaner
    from rtbids.deidentify.engine import Deidentifier
    from rtbids.deidentify.mapping import Key, Mapping, key_path
    from rtbids.deidentify.profile import Profile

    recipe = _recipe(rules)
    profile = Profile(recipe.applied(**rules.given), recipe.changes)
    if through := weakening.of(profile):
        console.logger.warning("%s", through)
    mapping = Mapping(Key.load(key_file(rules.key) or key_path()))
    if rules.identifiers:
        mapping = mapping.with_identifiers(_service(rules, pause))
    return Cleaner(Deidentifier(profile, mapping), recipe, rules.verify)


def rules_digest(rules: Rules) -> str:
    """Return what tells one way to de-identify from another: other options, another recipe, service, key or version."""
    said = [sorted(rules.given.items()), digest(rules.recipe), rules.recipe_partly, rules.identifiers, rules.identifiers_study]
    said.append(engine_digest())
    return f"{hashlib.sha256(repr(said).encode()).hexdigest()[:16]} key {key_fingerprint(rules)}"


def engine_digest(package: Path | None = None) -> str:
    """Return what tells one version of the de-identification from another: what its code and its tables hold."""
    from rtbids import deidentify

    folder = package or Path(deidentify.__path__[0])
    told = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        content = file.read_bytes()
        told.update(f"{file.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return told.hexdigest()


def key_fingerprint(rules: Rules) -> str:
    """Return what tells the site's key from another."""
    from rtbids.deidentify.mapping import Key, key_path

    return Key.load(key_file(rules.key) or key_path()).fingerprint


def key_file(given: Path | None) -> Path | None:
    """Return the file that ``--key`` names; raise UsageFault where that is none, such as an empty variable of a script."""
    from rtbids.errors import UsageFault

    if given is not None and given.is_dir():
        raise UsageFault(f"--key: expected the file of the site's key, found {'a folder' if given.name else 'no name'}")
    return given


def digest(recipe: Path | None) -> str | None:
    """Return the SHA-256 of a recipe, by which a report says which it was."""
    return hashlib.sha256(recipe.read_bytes()).hexdigest() if recipe else None


def translated(recipe: Path | None) -> str:
    """Return a recipe of deid as one of ours."""
    from rtbids.deidentify import deid_recipe
    from rtbids.errors import UsageFault

    if recipe is None:
        raise UsageFault("--print-recipe needs --recipe, the recipe of deid to be translated")
    if not deid_recipe.is_deid(recipe):
        raise UsageFault(f"{recipe}: expected a recipe of deid, which begins with FORMAT dicom")
    return deid_recipe.translate(recipe.read_text(encoding="utf-8"), str(recipe)).text()


def _recipe(rules: Rules) -> Recipe:
    from rtbids.deidentify import deid_recipe, recipe

    if rules.recipe is None:
        return recipe.Recipe()
    if rules.recipe.suffix not in (".yaml", ".yml", ".toml") and deid_recipe.is_deid(rules.recipe):
        return deid_recipe.load(rules.recipe, partly=rules.recipe_partly)
    return recipe.load(rules.recipe)


def _service(rules: Rules, pause: Callable[[float], object]) -> Callable[[str, str], Identifiers]:
    from rtbids.deidentify.identifiers import Question
    from rtbids.deidentify.identifiers_service import Rest, read_token

    rest = Rest(str(rules.identifiers), read_token(rules.identifiers_token), pause=pause)
    return lambda patient, accession: rest.ask(Question(patient, accession, rules.identifiers_study))


def given(retained: Options) -> dict[str, Any]:
    """Return those of the profile's options that were named, whatever they say."""
    context = click.get_current_context()
    named = [name for name in _VALUES if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
    values = {name: getattr(retained, name) for name in named}
    values |= {name: True for name in _RETAINED if getattr(retained, name)}
    return values | ({"words": retained.words} if retained.words else {})
