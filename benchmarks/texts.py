"""Pairs of data sets made of texts that lie on many machines, for a look at data of another kind.

Each text is encoded by a model of sentence-transformers; a third of the classes is the training
set, the others the test set, as files that the other benchmarks read.

- nouns, verbs: words of WordNet and what they mean; a class is what stands right below one word.
- subtrees: nouns again; a class is everything below one word, some dozens to some hundreds.
- packages: descriptions of Debian's packages; a class is what is made of one source.
- docstrings: first paragraphs from Python's standard library; a class is a module.

    pip install sentence-transformers; apt-get install wordnet-base
    python -m benchmarks.texts --encoder MODEL --out FOLDER
    python -m benchmarks.accuracy --data FOLDER
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sysconfig
from collections import defaultdict
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from shutil import which

import numpy as np

from benchmarks.pairs import save

# Classes of a kind, each a list of texts.
Classes = list[list[str]]

# Rows of both sets together, about; rows a class at most; share of the classes that teach.
N_ROWS, LARGEST, TRAIN_SHARE = 9_000, 150, 1 / 3
SUBTREE_SIZES = (40, 300)


def read_wordnet(path: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Text of each synset of one of WordNet's data files, and the synsets right below each."""
    texts, below = {}, defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        # A licence stands first, indented.
        if line.startswith(" "):
            continue
        data, gloss = line.split("|", 1)
        fields = data.split()
        synset, n_words = fields[0], int(fields[3], 16)
        texts[synset] = f"{fields[4].replace('_', ' ')}: {gloss.split(';')[0].strip()}"
        pointers = fields[5 + 2 * n_words :]
        above = [to for kind, to in pairwise(pointers) if kind == "@"]
        if above:
            below[above[0]].append(synset)
    return texts, dict(below)


def siblings(wordnet: Path, part: str) -> Classes:
    """What stands right below one word; four words at least."""
    texts, below = read_wordnet(wordnet / f"data.{part}")
    return [[texts[at] for at in of_one] for of_one in below.values() if len(of_one) >= 4]


def subtrees(wordnet: Path, random: np.random.RandomState) -> Classes:
    """Everything below one word, of words chosen at random; none below two of them."""
    texts, below = read_wordnet(wordnet / "data.noun")

    def all_below(synset: str, seen: set[str]) -> set[str]:
        for at in below.get(synset, []):
            if at not in seen:
                seen.add(at)
                all_below(at, seen)
        return seen

    fewest, most = SUBTREE_SIZES
    used: set[str] = set()
    classes = []
    for synset in random.permutation(sorted(below)):
        members = all_below(synset, set())
        if fewest <= len(members) <= most and not members & used:
            used |= members
            classes.append([texts[at] for at in sorted(members)])
    return classes


def packages(described: str) -> Classes:
    """Descriptions of the packages that are made of one source, from what apt-cache prints."""
    of_source = defaultdict(set)
    for block in described.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", block, re.MULTILINE))
        if "Package" in fields and "Description" in fields:
            source = fields.get("Source", fields["Package"]).split(" ")[0]
            of_source[source].add(fields["Description"])
    return [sorted(texts) for _, texts in sorted(of_source.items()) if len(texts) > 1]


def docstrings(folder: Path) -> Classes:
    """First paragraphs of the docstrings of each module; five at least, each once in all."""
    seen: set[str] = set()
    classes = []
    for path in sorted(folder.rglob("*.py")):
        if {"site-packages", "test", "tests", "idle_test"} & set(path.parts):
            continue
        of_module = set()
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                text = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
                if len(text) > 25 and text not in seen:
                    of_module.add(text)
        if len(of_module) >= 5:
            seen |= of_module
            classes.append(sorted(of_module))
    return classes


def some_of(classes: Classes, random: np.random.RandomState) -> tuple[list[str], np.ndarray]:
    """Texts of classes chosen at random until there are enough rows, and their classes."""
    texts: list[str] = []
    y: list[int] = []
    for at, number in enumerate(random.permutation(len(classes))):
        if len(texts) >= N_ROWS:
            break
        of_class = random.permutation(classes[number])[:LARGEST].tolist()
        texts += of_class
        y += [at] * len(of_class)
    return texts, np.array(y)


def make_pairs(
    kinds: Iterable[tuple[str, Callable[[np.random.RandomState], Classes]]],
    encode: Callable[[list[str]], np.ndarray],
    folder: Path,
) -> None:
    """Write the two files of each kind, and print what they hold."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in kinds:
        random = np.random.RandomState(0)
        texts, y = some_of(make(random), random)
        X = np.asarray(encode(texts), dtype=np.float32)
        # Of classes in random order, the first ones teach.
        save(folder, name, X, y, teaches=y < TRAIN_SHARE * (y.max() + 1))
        counts = np.bincount(y)
        print(
            f"{name}: {len(y)} rows, {len(counts)} classes of {np.median(counts):.0f} in the "
            f"median, {counts.max()} at most; such as {texts[0]!r}",
            flush=True,
        )


def main() -> None:
    """Make the pairs that can be made here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", required=True, help="folder or name of a model")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pairs")
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    args = parser.parse_args()
    if find_spec("sentence_transformers") is None:
        parser.error("there is nothing to encode with: pip install sentence-transformers")
    if not (args.wordnet / "data.noun").exists():
        parser.error(
            f"--wordnet: no data.noun in {args.wordnet}; apt-get install wordnet-base puts it "
            "into /usr/share/wordnet"
        )
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(args.encoder)
    kinds: list[tuple[str, Callable[[np.random.RandomState], Classes]]] = [
        ("nouns", lambda _: siblings(args.wordnet, "noun")),
        ("verbs", lambda _: siblings(args.wordnet, "verb")),
        ("subtrees", lambda random: subtrees(args.wordnet, random)),
        ("docstrings", lambda _: docstrings(Path(sysconfig.get_paths()["stdlib"]))),
    ]
    if which("apt-cache") is None:
        print("packages are left out: there is no apt-cache here")
    else:
        command = ["apt-cache", "dumpavail"]
        described = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        kinds.append(("packages", lambda _: packages(described)))
    make_pairs(kinds, lambda texts: encoder.encode(texts, show_progress_bar=False), args.out)


if __name__ == "__main__":
    main()
