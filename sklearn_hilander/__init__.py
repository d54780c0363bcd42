"""Learn from labelled vectors how to cluster, then cluster vectors of classes never seen."""

from sklearn_hilander._architectures import Architecture
from sklearn_hilander._estimator import HiLanderClustering
from sklearn_hilander._persistence import SavedFileError
from sklearn_hilander._version import __version__

__all__ = ["Architecture", "HiLanderClustering", "SavedFileError", "__version__"]
