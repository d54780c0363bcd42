"""What must work where the wheel alone is installed. Run by tools/check_package.py, with -I.

With -I neither this folder nor the working directory is searched for modules: what is imported is
what was installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib import metadata, resources
from pathlib import Path

import numpy as np

import sklearn_hilander
from sklearn_hilander import HiLanderClustering
from sklearn_hilander.datasets import make_identities
from sklearn_hilander.metrics import pairwise_f_score


def main() -> None:
    """Learn, cluster, join, save, load, and call the program; raise where something is wrong."""
    package = Path(sklearn_hilander.__file__).parent
    assert Path(sys.prefix).resolve() in package.resolve().parents, package
    version = metadata.version("sklearn-hilander")
    assert version == sklearn_hilander.__version__
    assert resources.files("sklearn_hilander").joinpath("py.typed").is_file()

    X, y = make_identities(600, 32, mean_size=12, nn_rate=0.99, random_state=0)
    known = y < 20
    clusterer = HiLanderClustering(10, max_iter=1, random_state=0).fit(X[known], y[known])
    labels = clusterer.fit_predict(X[~known])
    np.testing.assert_array_equal(clusterer.predict(X[~known]), labels)
    default = HiLanderClustering(pretrained="default")
    quality = pairwise_f_score(y[~known], default.fit_predict(X[~known]))
    assert quality > 0.8, quality

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for fitted in (clusterer, default):
            fitted.save(folder / "c.safetensors")
            loaded = HiLanderClustering.load(folder / "c.safetensors")
            np.testing.assert_array_equal(loaded.labels_, fitted.labels_)
            np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
        np.save(folder / "X.npy", X[~known])
        program = str(Path(sys.executable).with_name("sklearn-hilander"))
        assert version in run(program, "--version", cwd=folder)
        assert "cluster" in run(program, "--help", cwd=folder)
        run(program, "cluster", "X.npy", "--model", "c.safetensors", "--out", "y.npy", cwd=folder)
        np.testing.assert_array_equal(np.load(folder / "y.npy"), default.fit_predict(X[~known]))
    print(f"smoke test of {version} in {package}: pairwise F of the default model {quality:.3f}")


def run(*command: str, cwd: Path) -> str:
    """Output of a command that must succeed."""
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
