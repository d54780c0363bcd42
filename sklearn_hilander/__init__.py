"""Learn from labelled vectors how to cluster, then cluster vectors of classes never seen."""

from sklearn_hilander._clusters._merge_tree import Hierarchy
from sklearn_hilander._constraints._corrections import Constraints
from sklearn_hilander._estimator import HiLanderClustering
from sklearn_hilander._files._specs import SavedFileError
from sklearn_hilander._models._architectures import Architecture
from sklearn_hilander._version import __version__

__all__ = [
    "Architecture",
    "Constraints",
    "HiLanderClustering",
    "Hierarchy",
    "SavedFileError",
    "__version__",
]
