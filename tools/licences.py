"""List what the package needs at run time, directly and behind that, and under which licences.

    .venv/bin/python tools/licences.py            # --extra plot --extra tables: with these

Read from the metadata of the distributions installed beside it; that of a distribution is what its
authors wrote, and is not checked against its files. The exit status is 1 if one names no licence.
Needs `packaging`, which pytest brings.
"""

from __future__ import annotations

import argparse
import sys
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "sklearn-hilander"


def closure(name: str, extras: frozenset[str]) -> dict[str, metadata.Distribution]:
    """Distributions that one needs, by name, itself left out."""
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(canonicalize_name(name), extras)]
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        distribution = metadata.distribution(name)
        found[name] = distribution
        for text in distribution.requires or []:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in extras | {""}):
                wanted = frozenset(requirement.extras)
                todo.append((canonicalize_name(requirement.name), wanted))
    del found[canonicalize_name(PACKAGE)]
    return dict(sorted(found.items()))


def licence(distribution: metadata.Distribution) -> str:
    """The licence that the metadata names: an expression, classifiers, or a short text."""
    data = distribution.metadata
    if expression := data.get("License-Expression"):
        return expression
    classifiers = [
        each.rsplit(" :: ", 1)[1]
        for each in data.get_all("Classifier") or []
        if each.startswith("License :: ") and each != "License :: OSI Approved"
    ]
    text = (data.get("License") or "").strip()
    named = text if text and "\n" not in text and len(text) < 60 else ""
    return named or ", ".join(classifiers) or text.partition("\n")[0] or title(distribution)


def title(distribution: metadata.Distribution) -> str:
    """How the text of its licence begins, for a distribution whose metadata names none."""
    for file in distribution.files or []:
        if file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")):
            lines = [line.strip() for line in file.read_text().splitlines() if line.strip()]
            return f"{', '.join(lines[:2])} ({file.name})"
    return ""


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--extra", action="append", default=[])
    every = closure(PACKAGE, frozenset(parser.parse_args().extra))
    unknown = 0
    for name, distribution in every.items():
        said = licence(distribution)
        unknown += not said
        print(f"{name:<20} {distribution.version:<14} {said or '(names none)'}")
    return int(unknown > 0)


if __name__ == "__main__":
    sys.exit(main())
