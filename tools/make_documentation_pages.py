"""Write the pages that estimators link to from their HTML representation, from the docstrings.

    python -m tools.make_documentation_pages

One self-contained page an estimator goes into sklearn_hilander/documentation, and so into the
wheel. Run it after changing a docstring of an estimator; tests/test_documentation.py says so.
"""

from __future__ import annotations

import inspect
import re
from html import escape
from pathlib import Path
from textwrap import dedent

from sklearn_hilander import HiLanderClustering
from sklearn_hilander.encoding import ClassifierEncoder

FOLDER = Path(__file__).resolve().parent.parent / "sklearn_hilander" / "documentation"
ESTIMATORS = {
    "sklearn_hilander": HiLanderClustering,
    "sklearn_hilander.encoding": ClassifierEncoder,
}
# Sections whose entries are "name : type" with an indented description.
_LISTS = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "See Also")
_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 3rem; max-width: 50rem; overflow-wrap: anywhere;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1, h2 { font-family: ui-monospace, "Liberation Mono", monospace; line-height: 1.3; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; border-top: 1px solid; padding-top: .8rem; }
h3 { font-size: 1rem; margin-bottom: .3rem; }
dt { margin-top: .5rem; } dd { margin-left: 1.5rem; } dd p { margin: .2rem 0; }
pre { padding: .6rem .8rem; border: 1px solid; border-radius: .3rem; overflow-x: auto; }
code, pre { font-size: .9em; } nav { font-size: .9rem; }
"""


def render(module: str, estimator: type) -> str:
    """The page of an estimator."""
    name = estimator.__name__
    methods = {
        method: function
        for method, function in inspect.getmembers(estimator, inspect.isroutine)
        if not method.startswith("_") and function.__module__.startswith("sklearn_hilander")
    }
    links = ", ".join(f'<a href="#{method}"><code>{method}</code></a>' for method in methods)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        f'<head><meta charset="utf-8"><title>{module}.{name}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head>",
        "<body>",
        f"<h1>{module}.{name}</h1>",
        *_docstring(inspect.getdoc(estimator) or ""),
        f"<nav><h3>Methods</h3>{links}</nav>",
    ]
    for method, function in methods.items():
        parts.append(f'<h2 id="{method}">{method}{escape(_call(function))}</h2>')
        parts += _docstring(inspect.getdoc(function) or "")
    return "\n".join([*parts, "</body>", "</html>", ""])


def _call(function: object) -> str:
    """A signature without types, which stand in the sections."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    parameters = [
        parameter.replace(annotation=parameter.empty)
        for name, parameter in signature.parameters.items()
        if name not in ("self", "cls")
    ]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


def _docstring(text: str) -> list[str]:
    """A numpydoc docstring as HTML."""
    sections = re.split(r"^(\w[\w ]*)\n-+\n", text, flags=re.MULTILINE)
    out = _blocks(sections[0])
    for title, body in zip(sections[1::2], sections[2::2], strict=True):
        out.append(f"<h3>{title}</h3>")
        out += _entries(body) if title in _LISTS else _blocks(body)
    return out


def _entries(body: str) -> list[str]:
    """Entries as a description list."""
    # A type may go on in the next line, behind a backslash.
    lines = re.sub(r" *\\\n\s+", " ", body).rstrip().split("\n")
    out, at = ["<dl>"], 0
    while at < len(lines):
        end = at + 1
        while end < len(lines) and (not lines[end] or lines[end].startswith(" ")):
            end += 1
        if lines[at]:
            name, colon, kind = lines[at].partition(" : ")
            kind = f" : {_inline(kind)}" if colon else ""
            out.append(f"<dt><strong>{_inline(name)}</strong>{kind}</dt>")
            described = _blocks(dedent("\n".join(lines[at + 1 : end])))
            out += ["<dd>", *described, "</dd>"] if described else []
        at = end
    return [*out, "</dl>"]


def _blocks(text: str) -> list[str]:
    """Paragraphs and examples."""
    out = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        if not block.strip():
            continue
        if block.lstrip().startswith(">>>"):
            out.append(f"<pre>{escape(block)}</pre>")
        elif footnote := re.match(r"\.\. \[(\d+)\] ", block):
            out.append(f"<p>[{footnote[1]}] {_inline(block[footnote.end() :])}</p>")
        else:
            out.append(f"<p>{_inline(block)}</p>")
    return out


def _inline(text: str) -> str:
    """Markup within a paragraph."""
    text = escape(" ".join(text.split()), quote=False)
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"<code>\1</code>", text)
    text = re.sub(r"``(.+?)``|`(.+?)`", lambda m: f"<code>{m[1] or m[2]}</code>", text)
    return re.sub(r"\[(\d+)\]_", r"[\1]", text)


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for module, estimator in ESTIMATORS.items():
        path = FOLDER / f"{module}.{estimator.__name__}.html"
        path.write_text(render(module, estimator), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
