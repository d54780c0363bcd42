"""Learn from labelled vectors how to cluster, then cluster vectors of classes never seen."""

from sklearn_hilander._architectures import Architecture
from sklearn_hilander._corrections import Constraints
from sklearn_hilander._estimator import HiLanderClustering
from sklearn_hilander._merge_tree import Hierarchy

__all__ = ["Architecture", "Constraints", "HiLanderClustering", "Hierarchy", "__version__"]

__version__ = "0.1.0.dev0"
