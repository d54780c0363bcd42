"""Look at clusters: displays as scikit-learn has them, drawn with matplotlib."""

from sklearn_hilander.inspection._cluster_size import ClusterSizeDisplay
from sklearn_hilander.inspection._contact_sheet import ContactSheetDisplay
from sklearn_hilander.inspection._hierarchy import HierarchyDisplay
from sklearn_hilander.inspection._linkage_calibration import LinkageCalibrationDisplay

__all__ = [
    "ClusterSizeDisplay",
    "ContactSheetDisplay",
    "HierarchyDisplay",
    "LinkageCalibrationDisplay",
]
