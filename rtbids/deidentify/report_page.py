"""The report as a page that stands alone: no network, no script, and nothing that a value could hide in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --paper: #fcfcfa; --ink: #1b1f24; --soft: #59616b; --rule: #dcdfe3; --panel: #f3f4f2; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --ink: #e7e9ec; --soft: #a3acb6; --rule: #343a41; --panel: #1c2024; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: clamp(1.3rem, 4.6vw, 2rem); line-height: 1.2; margin: 0 0 8px; }
h2 { font-size: 1.25rem; margin: 40px 0 8px; padding-top: 16px; border-top: 1px solid var(--rule); }
p { margin: 6px 0 12px; max-width: 75ch; }
.soft { color: var(--soft); font-size: .875rem; }
.look { border: 1px solid var(--rule); border-left: 4px solid #c05000; border-radius: 6px; background: var(--panel);
  padding: 10px 16px; margin: 14px 0; max-width: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 12px 4px 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.n, th.n { text-align: right; padding-right: 16px; }
code { font: .9em ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
p code { overflow-wrap: anywhere; }
summary { cursor: pointer; padding: 8px 0; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 8px 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 560px) {
  dl { grid-template-columns: 1fr; } dd { margin-bottom: 6px; }
  .elements thead { display: none; } .elements, .elements tbody { display: block; }
  .elements tr { display: grid; grid-template-columns: minmax(0, 1fr) max-content; padding: 6px 0;
    border-bottom: 1px solid var(--rule); }
  .elements td { border: 0; padding: 0 12px 0 0; overflow-wrap: anywhere; } .elements td.n { padding: 0; }
  .elements td:nth-child(1) { order: 3; color: var(--soft); }
  .elements td:nth-child(3) { order: 2; text-align: right; padding: 0; }
  .elements td:nth-child(4) { order: 4; } .elements td.n::after { content: " files"; color: var(--soft); }
}
@media print { details > * { display: block; } h2 { break-after: avoid; } }
"""
_WORDS = {
    "written": "written",
    "refused": "refused",
    "bad": "damaged or no image",
    "unreadable": "unreadable",
    "folders": "folders that cannot be listed",
    "copies": "copies",
    "skipped": "skipped",
}


def page(content: Mapping[str, Any]) -> str:
    """Return the page for the content of a report."""
    body = "\n".join((_top(content), _how(content), _left_out(content), _lost(content), _all(content), *_series(content)))
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>De-identification</title>'
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    whole = f'<html lang="en"><head>{head}{policy}<style>{_STYLE}</style></head>\n<body><main>{body}</main></body></html>'
    return f"<!doctype html>\n{whole}\n"


def _top(content: Mapping[str, Any]) -> str:
    files, series = content["files"], content["series"]
    written = files.get("written", 0)
    said = f"{_count(written, 'file')} of {len(series)} series written without what identifies the person"
    others = [f"{count} {_WORDS.get(kind, kind)}" for kind, count in files.items() if kind != "written"]
    through = content["recipe"]["lets_through"]
    warning = (
        f'<p class="look">The recipe lets through what the basic profile takes out: {_listed(through)}.</p>' if through else ""
    )
    return f"<h1>De-identification</h1><p>{said}{'; ' if others else ''}{escape(', '.join(others))}.</p>{warning}"


def _how(content: Mapping[str, Any]) -> str:
    options = "; ".join(f"{name} {_said(value)}" for name, value in content["options"].items() if value not in (False, []))
    facts = {
        "Profile": content["profile"],
        "Options": options,
        "Marked as": ", ".join(f"{code} {meaning}" for code, meaning in content["codes"].items()),
        "Recipe": f"{_count(content['recipe']['rules'], 'rule')}, SHA-256 {content['recipe']['sha256']}"
        if content["recipe"]["sha256"]
        else "none",
        "Identifiers": "from a service" if content["identifiers_service"] else "made with the key of the site",
        "Key": f"the one with the fingerprint {content['key']}",
        "Verified": "each file searched for every removed value" if content["verified"] else "not asked for",
        "Defaced": f"by {content['defaced_by']}" if content["defaced_by"] else "no",
        "Made by": content["made_by"],
    }
    return (
        "<h2>How</h2><dl>" + "".join(f"<dt>{name}</dt><dd>{escape(str(said))}</dd>" for name, said in facts.items()) + "</dl>"
    )


def _left_out(content: Mapping[str, Any]) -> str:
    if not content["left_out"]:
        return ""
    rows = [(escape(one["reason"]), str(one["files"])) for one in content["left_out"]]
    return "<h2>Left out</h2>" + _table(("Reason", "Files"), rows)


def _lost(content: Mapping[str, Any]) -> str:
    """Return what BIDS has a place for and is gone, of all series together."""
    lost = sorted({fact for series in content["series"] for fact in series["lost_for_bids"]})
    return f"<h2>Not there for BIDS any more</h2><p>{_listed(lost)}.</p>" if lost else ""


def _all(content: Mapping[str, Any]) -> str:
    """Return one table for all series together: what happened to an element, in how many files."""
    total: Counter[tuple[str, str, str]] = Counter()
    for series in content["series"]:
        for one in series["elements"]:
            total[one["element"], one["keyword"], one["action"]] += one["files"]
    rows = [(_path(path), escape(word), escape(action), str(n)) for (path, word, action), n in sorted(total.items())]
    return f"<h2>All series</h2><p class='soft'>No values are shown. [] stands for any item of a sequence.</p>{_elements(rows)}"


def _series(content: Mapping[str, Any]) -> Iterable[str]:
    yield "<h2>Series by series</h2>"
    for number, series in enumerate(content["series"], 1):
        lost = series["lost_for_bids"]
        said = f"Not there for BIDS any more: {_listed(lost)}." if lost else "No fact that BIDS knows was lost."
        rows = [
            (_path(one["element"]), escape(one["keyword"]), escape(one["action"]), str(one["files"]))
            for one in series["elements"]
        ]
        summary = f"Series {number}: {_count(series['files'], 'file')}, {_count(len(rows), 'element')} changed"
        uid = f"<p class='soft'><code>{escape(series['series'])}</code></p>"
        yield f"<details><summary>{summary}</summary>{uid}<p>{said}</p>{_elements(rows)}</details>"


def _elements(rows: Sequence[tuple[str, ...]]) -> str:
    return _table(("Element", "Keyword", "What was done", "Files"), rows, "elements")


def _path(path: str) -> str:
    """Return an element's path, to be broken between its steps only."""
    return f"<code>{escape(path).replace('.', '.<wbr>')}</code>"


def _table(heads: Sequence[str], rows: Sequence[tuple[str, ...]], kind: str = "plain") -> str:
    """Return a table whose last column is numbers."""
    top = "".join(f"<th>{head}</th>" for head in heads[:-1]) + f'<th class="n">{heads[-1]}</th>'
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row[:-1]) + f'<td class="n">{row[-1]}</td></tr>' for row in rows
    )
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _listed(names: Sequence[str]) -> str:
    return escape(", ".join(names))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _said(value: object) -> str:
    return "on" if value is True else ", ".join(value) if isinstance(value, list) else str(value)
