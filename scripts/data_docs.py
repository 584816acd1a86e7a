"""Data Docs: what was expected at a border and what was found, as pages that open from disk.

`<published>/quality/` holds one page per border, an index, and the same as JSON for programs. A
page is one file: no script, no font and no style is fetched from anywhere. It names tables and
columns and shows counts; no value of a row comes here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

BORDERS = {
    "landing": "What landed, before anything is built",
    "marts": "The marts, before they are published",
}
MARKS = {"passed": "\N{CHECK MARK}", "warning": "!", "error": "\N{MULTIPLICATION SIGN}"}

STYLE = """
:root { color-scheme: light dark; --line: #8884; --ok: #1a7f37; --warn: #9a6700; --bad: #cf222e }
@media (prefers-color-scheme: dark) { :root { --ok: #3fb950; --warn: #d29922; --bad: #f85149 } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem }
h1 { font-size: 1.4rem; margin-bottom: 0 } h2 { font-size: 1.05rem; margin: 0; display: inline }
nav a { margin-right: 1rem } .muted { opacity: .7 }
details { border-top: 1px solid var(--line); padding: .5rem 0 }
summary { cursor: pointer } summary .muted { margin-left: .6rem }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; font-size: .92em }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0;
         border-top: 1px solid var(--line) }
th { font-weight: 600; border-top: 0 } td:first-child { width: 1.5rem; font-weight: 700 }
code { font: .95em ui-monospace, monospace }
.passed { color: var(--ok) } .warning { color: var(--warn) } .error { color: var(--bad) }
"""


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        '<nav><a href="index.html">Data quality</a><a href="landing.html">Landing</a>'
        f'<a href="marts.html">Marts</a></nav>\n<h1>{escape(title)}</h1>\n{body}</body>\n</html>\n'
    )


def _count(result: Mapping[str, Any], status: str) -> int:
    return sum(check["status"] == status for table in result["tables"] for check in table["checks"])


def _summary(result: Mapping[str, Any]) -> str:
    parts = [
        f'<span class="{status}">{MARKS[status]} {_count(result, status):,} {words}</span>'
        for status, words in (
            ("passed", "met"),
            ("warning", "to look at"),
            ("error", "that stop the build"),
        )
    ]
    return (
        f'<p class="muted">Checked {escape(result["checked_at"])} UTC with Great Expectations '
        f"{escape(result['great_expectations'])}.</p>\n<p>{' &ensp; '.join(parts)}</p>\n"
    )


def _table(table: Mapping[str, Any]) -> str:
    worst = max(
        (check["status"] for check in table["checks"]), key=list(MARKS).index, default="passed"
    )
    order = sorted(table["checks"], key=lambda check: -list(MARKS).index(check["status"]))
    rows = "".join(
        f'<tr><td class="{check["status"]}">{MARKS[check["status"]]}</td>'
        f"<td><code>{escape(check['column'])}</code></td><td>{escape(check['wanted'])}</td>"
        f"<td>{escape(check['found'])}</td></tr>\n"
        for check in order
    )
    return (
        f'<details id="{escape(table["table"])}"{"" if worst == "passed" else " open"}><summary>'
        f'<span class="{worst}">{MARKS[worst]}</span> <h2>{escape(table["table"])}</h2>'
        f'<span class="muted">{escape(table["scope"])}</span></summary>\n<table>\n'
        f"<tr><th></th><th>column</th><th>expected</th><th>found</th></tr>\n{rows}</table>\n"
        "</details>\n"
    )


def _border_page(border: str, result: Mapping[str, Any]) -> str:
    return _page(
        BORDERS[border], _summary(result) + "".join(_table(table) for table in result["tables"])
    )


def _index_page(folder: Path) -> str:
    body = ""
    for border, title in BORDERS.items():
        body += f'<h2><a href="{border}.html">{escape(title)}</a></h2>\n'
        try:
            body += _summary(json.loads((folder / f"{border}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError):
            body += "<p>Not checked yet.</p>\n"
    return _page("Data quality", body)


def _write(path: Path, text: str) -> None:
    """Write a file in one step."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def page_of(published: Path, border: str) -> Path:
    """The page of a border."""
    return published / "quality" / f"{border}.html"


def write_docs(published: Path, result: Mapping[str, Any]) -> None:
    """Write the page of a border anew, and the index.

    Args:
        published: the directory of the releases; the pages stand beside them in `quality/`.
        result: border, checked_at, great_expectations, and tables with their checks.

    Raises:
        OSError: the directory cannot be written.
    """
    folder = published / "quality"
    folder.mkdir(parents=True, exist_ok=True)
    border = result["border"]
    _write(folder / f"{border}.json", json.dumps(result, indent=1) + "\n")
    _write(page_of(published, border), _border_page(border, result))
    _write(folder / "index.html", _index_page(folder))
    for other in BORDERS.keys() - {border}:
        if not page_of(published, other).exists():
            _write(page_of(published, other), _page(BORDERS[other], "<p>Not checked yet.</p>\n"))
