"""Load many damaged and forged files: each must load or end in the documented error.

    python -m tools.fuzz_loader --files 1000000

Two thirds of the files are forged with care: a value, a shape, a weight or a table entry is changed
and the checksum made to fit again, so that the checks behind it are reached. The others are damaged
bytes. Of those that still load, a share (--use) must cluster and assign a few rows and answer what
can be asked of clusters, with nothing but a ValueError; a damaged one must be what it was. The
system bounds memory and time. Linux only. Prints how many files were tried and how they ended.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import signal
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sklearn_hilander import HiLanderClustering, SavedFileError
from sklearn_hilander._files import _persistence

SAVED = Path(__file__).parent.parent / "tests" / "data" / "saved"
SECONDS_A_FILE = 20
# Address space over what the process has at the start, which no tiny file may need.
EXTRA_MEMORY = 2**30
ODD = (
    None, True, False, -1, 0, 1, 2, 7, 2**31, 2**63 - 1, 2**64, 10**30, -0.5, 0.5, 1e308, 1e-320,
    "", "cosine", "F64", "U64", "BOOL", "meta", "\ud800", "x" * 300, [], [0], {}, [[]],
    {"kind": "none"},
)  # fmt: skip


def damage(content: bytes, rng: random.Random) -> bytes:
    """Change some bytes, without regard to what they mean."""
    out = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 8, 64))):
        at = rng.randrange(len(out)) if out else 0
        # Half of all changes where the structure is.
        if rng.random() < 0.5:
            at = min(at, rng.randrange(16) if rng.random() < 0.3 else rng.randrange(2_000))
        size = rng.choice((1, 1, 2, 8, 100))
        kind = rng.randrange(6)
        if kind == 0:
            out[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del out[at : at + size]
        elif kind == 3:
            out[at:at] = out[rng.randrange(len(out) + 1) :][:size]
        elif kind == 4:
            out[at : at + size] = rng.choice((b"\0", b"\xff", b"9", b"[", b'"')) * size
        elif rng.random() < 0.2:
            del out[at:]
    return bytes(out)


def forge(content: bytes, rng: random.Random) -> bytes:
    """Change the header, the table or the values, and make the checksum fit again."""
    table, data = split(content)
    header = json.loads(table.pop("__metadata__")["sklearn_hilander"])
    kind = rng.randrange(4)
    if kind <= 1:
        for _ in range(rng.choice((1, 1, 2, 4))):
            header = change(header, rng)
    if kind == 2 and table:
        table = change(table, rng)
    if kind == 3 and data:
        data = bytearray(data)
        for _ in range(rng.choice((1, 4, 32))):
            at = rng.randrange(len(data)) // 4 * 4
            odd = (0.0, -0.0, np.nan, np.inf, 1e38, -1e38, 1e-40, 1.0, -1.0, 300.0)
            data[at : at + 4] = np.float32(rng.choice(odd)).tobytes()[: len(data) - at]
        data = bytes(data)
    return join(seal(table, data, header), data)


def split(content: bytes) -> tuple[dict, bytes]:
    """Table and data of a safetensors file."""
    start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:start]), content[start:]


def join(table: dict, data: bytes) -> bytes:
    """A safetensors file of table and data."""
    text = json.dumps(table).encode()
    return len(text).to_bytes(8, "little") + text + data


def seal(table: object, data: bytes, header: object) -> dict:
    """The table with a header whose checksum fits, as far as the table makes sense."""
    kinds = {code: np.dtype(name) for code, name in _persistence._DTYPES.items()}
    try:
        arrays = {
            name: np.frombuffer(
                data[part["data_offsets"][0] : part["data_offsets"][1]], kinds[part["dtype"]]
            ).reshape(part["shape"])
            for name, part in table.items()
        }
        header = {**header, "sha256": _persistence._checksum(header, arrays)}
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, OverflowError):
        pass
    metadata = {"sklearn_hilander": json.dumps(header)}
    return {"__metadata__": metadata, **(table if isinstance(table, dict) else {})}


def change(tree: object, rng: random.Random) -> object:
    """A copy of a JSON value with one place changed."""
    tree = copy.deepcopy(tree)
    places = list(walk(tree))
    if not places:
        return tree
    depth = rng.choice([depth for _, _, depth in places])
    place, key, _ = rng.choice([p for p in places if p[2] == depth or rng.random() < 0.1])
    below = place[key]
    kind = rng.randrange(6)
    if kind == 0:
        del place[key]
    elif kind == 1 and isinstance(place, dict):
        place[rng.choice(("odd", "kind", "pretrained", f"{key}x"))] = rng.choice(ODD)
    elif kind == 2 and isinstance(place, list):
        place.append(copy.deepcopy(below))
    elif kind == 3 and isinstance(below, int) and not isinstance(below, bool):
        place[key] = below + rng.choice((-1, 1, 2, 1000))
    elif kind == 4 and len(place) > 1:
        other = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        place[key], place[other] = place[other], place[key]
    else:
        place[key] = copy.deepcopy(rng.choice(ODD))
    return tree


def walk(tree: object, depth: int = 0) -> Iterator[tuple[dict | list, object, int]]:
    """Every place of a JSON value: what it is in, its key there, and how deep it is."""
    if isinstance(tree, (dict, list)):
        for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
            yield tree, key, depth
            yield from walk(tree[key], depth + 1)


class Trial:
    """Tries files; counts how they ended.

    Parameters
    ----------
    seeds : list of Path
        Whole files.
    folder : Path
        Where to write the changed ones.
    seed : int
    use : float, default=1.0
        Share of the files that still load and are made to cluster: that takes the most time.
    """

    def __init__(self, seeds: list[Path], folder: Path, seed: int = 0, *, use: float = 1.0) -> None:
        self.use = use
        self.contents = [path.read_bytes() for path in seeds]
        # Small files are tried more often: as much is in them to get wrong.
        self.weights = [1 / len(content) for content in self.contents]
        self.rng = random.Random(seed)
        self.path = folder / "trial.safetensors"
        self.ends: Counter[str] = Counter()
        self.slowest = 0.0
        self.X = np.random.default_rng(seed).normal(size=(5, 8))
        self.originals = [self._labels(HiLanderClustering.load(path)) for path in seeds]

    def run(self, n_files: int) -> None:
        """Try so many files.

        Raises
        ------
        Exception
            Whatever a file ended in that is not the documented error; the file is kept.
        """
        for _ in range(n_files):
            number = self.rng.choices(range(len(self.contents)), self.weights)[0]
            forged = self.rng.random() < 2 / 3
            changed = (forge if forged else damage)(self.contents[number], self.rng)
            self.path.write_bytes(changed)
            kind = "forged" if forged else "damaged"
            started = time.monotonic()
            try:
                estimator = HiLanderClustering.load(self.path)
            except SavedFileError:
                self.ends[f"{kind}: refused"] += 1
                continue
            finally:
                self.slowest = max(self.slowest, time.monotonic() - started)
            self.ends[f"{kind}: loaded"] += 1
            if self.rng.random() > self.use:
                continue
            if forged:
                self.ends["forged: used"] += 1
                self._use(estimator)
            else:
                assert self._labels(estimator) == self.originals[number]

    def _use(self, estimator: HiLanderClustering) -> None:
        """Whatever the file says, using it ends well or in a ValueError."""
        estimator.set_params(n_jobs=None, verbose=0)
        with warnings.catch_warnings():
            # Weights near the end of the range overflow.
            warnings.simplefilter("ignore", RuntimeWarning)
            for use in (self._ask, self._labels):
                try:
                    use(estimator)
                except ValueError:
                    self.ends["forged: used, then ValueError"] += 1

    def _ask(self, estimator: HiLanderClustering) -> None:
        """Ask what rests on other parts of the file than labels do."""
        if not hasattr(estimator, "labels_"):
            return
        estimator.hierarchy_.to_linkage(clusters=True)
        _ = estimator.probabilities_, estimator.outlier_scores_, estimator.cluster_centers_
        estimator.merge_candidates()
        estimator.split_candidates()
        estimator.soft_membership()
        estimator.relabel(linkage_threshold=0.01)
        X = np.resize(self.X, (len(self.X), estimator.n_features_in_))
        estimator.partial_fit(X, min_growth=None)
        estimator.partial_fit(X, min_growth=1)

    def _labels(self, estimator: HiLanderClustering) -> list[list[int]]:
        known = getattr(estimator, "n_features_in_", self.X.shape[1])
        X = np.resize(self.X, (len(self.X), known)) if known < 1_000 else self.X
        assigned = estimator.predict(X).tolist() if hasattr(estimator, "labels_") else []
        return [assigned, estimator.fit_predict(X).tolist()]


def main() -> None:
    """Try files until the number or the time is up."""
    import resource

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--use", type=float, default=1.0)
    options = parser.parse_args()
    seeds = sorted(SAVED.rglob("*.safetensors"))
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(seeds, Path(folder), options.seed, use=options.use)
        trial.run(100)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + EXTRA_MEMORY, resource.RLIM_INFINITY))
        started = time.monotonic()
        tried, total = 100, options.files
        while tried < total and time.monotonic() - started < options.seconds:
            # Nobody handles it: a file that takes longer ends the process.
            signal.alarm(SECONDS_A_FILE)
            try:
                trial.run(1)
            except BaseException:
                kept = Path(tempfile.gettempdir()) / "fuzz-failure.safetensors"
                kept.write_bytes(trial.path.read_bytes())
                print(f"after {tried} files, seed {options.seed}: see {kept}", flush=True)
                raise
            tried += 1
            if tried % 10_000 == 0:
                print(tried, dict(trial.ends), flush=True)
        signal.alarm(0)
    seconds = time.monotonic() - started
    print(f"{tried} files in {seconds:.0f} s: {dict(sorted(trial.ends.items()))}")
    print(f"reading one took {trial.slowest:.3f} s at most")


if __name__ == "__main__":
    main()
