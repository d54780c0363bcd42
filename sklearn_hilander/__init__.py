"""Learn from labelled vectors how to cluster, then cluster vectors of classes never seen."""

from sklearn_hilander._architectures import Architecture
from sklearn_hilander._estimator import HiLanderClustering

__all__ = ["Architecture", "HiLanderClustering", "__version__"]

__version__ = "0.1.0.dev0"
