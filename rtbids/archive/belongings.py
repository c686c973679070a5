"""What belongs to a run goes into the data set: an empty one becomes that of the run, another one gets what it lacks.

What a person wrote is never changed. Where it says something else than what came with the run, that is said in one line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rtbids.archive.study import Study, read_text
from rtbids.bids import dataset, rows, sidecar
from rtbids.errors import BadData
from rtbids.volume import Belongings, Entities

PATTERNS = ("README*", "participants.*", "sub-*/sub-*_sessions.*")  # of what may be half made in the meantime


def describe(study: Study, belongings: Belongings, *, new: bool) -> list[str]:
    """Let a new data set become the one that its first run comes from; return what is to be said, each in one line.

    Called while the data set is locked and hidden behind a curtain, before there is anything of the run: a data set that a kill
    left half described is `new` still, for its description is written last. `new` is what `is_ours` says of it.
    """
    return list(_documents(study, belongings, new=new))


def keep(study: Study, entities: Entities, belongings: Belongings) -> list[str]:
    """Write what tables have of the run of `entities`; return what is to be said of it, each in one line.

    Called as `describe` is, the run and its participant's row being there.
    """
    said: list[str] = []
    for table, row in belongings.rows.items():
        said += _row(study, table, entities, row)
    for table in rows.COLUMN:
        said += _columns(study, table, entities, belongings.files.get(f"{table}.json"))
    return said


def is_ours(study: Study) -> bool:
    """Say whether nobody has described the data set yet, nor measured anything for it."""
    fields = sidecar.read(study.root / dataset.DESCRIPTION)
    ours = dataset.description(study.root.resolve().name, study.version)
    return {**fields, "GeneratedBy": []} == {**ours, "GeneratedBy": []} and not any(study.root.glob("sub-*/"))


def _documents(study: Study, belongings: Belongings, *, new: bool) -> Iterator[str]:
    try:
        theirs = _object(belongings.files.get(dataset.DESCRIPTION, b"{}"), dataset.DESCRIPTION)
    except BadData as error:
        yield f"{error}; it is not kept"
        return
    if not theirs or theirs.get("DatasetType") == "derivative":
        return
    if wrong := [key for key in ("Name", "BIDSVersion") if not _is_text(theirs.get(key, "text"))]:
        yield f"{dataset.DESCRIPTION} that came with the run: {', '.join(wrong)} is no text; the data set keeps its own"
        theirs = {key: value for key, value in theirs.items() if key not in wrong}
    there = sidecar.read(study.root / dataset.DESCRIPTION)
    if new:
        study.remove_own_readme()
    elif "Name" in theirs and there.get("Name") != theirs["Name"]:
        yield f"the run is of the data set {theirs['Name']!r}; {there.get('Name')!r} keeps its own description and README"
        return
    differing = [name for name, content in _of_the_top(belongings) if not _write_where_absent(study, name, content)]
    if new:
        _adopt(study, theirs)
    elif _without_origin(there) != _without_origin(theirs):
        differing.append(dataset.DESCRIPTION)
    if differing:
        yield f"{', '.join(sorted(differing))}: what came with the run is different, and not kept"


def _adopt(study: Study, theirs: Mapping[str, Any]) -> None:
    """Let the data set be described as the one that its first run comes from, made by rtbids too."""
    ours = dataset.description(study.root.resolve().name, study.version)
    made = theirs.get("GeneratedBy")
    before = [one for one in made if isinstance(one, dict)] if isinstance(made, list) else []
    others = [one for one in before if one.get("Name") != "rtbids"]
    study.write(
        study.root / dataset.DESCRIPTION, sidecar.dumps({**ours, **theirs, "GeneratedBy": [*others, *ours["GeneratedBy"]]})
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _without_origin(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description without what rtbids adds to it."""
    return {key: value for key, value in description.items() if key not in ("GeneratedBy", "DatasetType")}


def _of_the_top(belongings: Belongings) -> Iterator[tuple[str, bytes]]:
    for name in dataset.DOCUMENTS[1:]:
        if name in belongings.files:
            yield name, belongings.files[name]


def _write_where_absent(study: Study, name: str, content: bytes) -> bool:
    """Write a document where there is none of its sort; say whether the data set now has it as it is."""
    names = dataset.READMES if name in dataset.READMES else (name,)
    there = [study.root / one for one in names if (study.root / one).exists()]
    if not there:
        study.write(study.root / name, content.decode("utf-8", "surrogateescape"))
        return True
    return (study.root / name) in there and (study.root / name).read_bytes() == content


def _row(study: Study, table: str, entities: Entities, row: rows.Row) -> Iterator[str]:
    path, key = study.root / rows.file(table, entities, ".tsv"), rows.key(table, entities)
    before = read_text(path)
    if table == "participants" and not before:
        return  # a data set of several subjects that does without the table
    try:
        text, disagreeing = rows.put(before, rows.COLUMN[table], key, row, path.name)
    except BadData as error:
        yield f"{error}; it is left as it is"
        return
    if text != before:
        study.write(path, text)
    if disagreeing:
        yield f"{path.name}, {key}: {', '.join(disagreeing)} differs from what came with the run, and stays"


def _columns(study: Study, table: str, entities: Entities, content: bytes | None) -> Iterator[str]:
    """Keep what the columns of a table mean, where the table is there."""
    path = study.root / rows.file(table, entities, ".json")
    if content is None or not path.with_suffix(".tsv").exists():
        return
    try:
        theirs = _object(content, path.name)
        there = sidecar.read(path) if path.exists() else {}
    except BadData as error:
        yield f"{error}; it is not kept"
        return
    if not path.exists():
        study.write(path, content.decode("utf-8", "surrogateescape"))
    elif set(theirs) - set(there):
        study.write(path, sidecar.dumps({**theirs, **there}))


def _object(content: bytes, name: str) -> dict[str, Any]:
    try:
        fields = sidecar.loads(content)
    except ValueError as error:
        raise BadData(f"{name} that came with the run is not JSON ({error})") from None
    if not isinstance(fields, dict):
        raise BadData(f"{name} that came with the run is not a JSON object")
    return fields
