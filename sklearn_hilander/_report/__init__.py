"""Clusters as one HTML page that needs neither network nor scripts."""

from sklearn_hilander._report._content import MergeCandidate, ReportContent
from sklearn_hilander._report._images import import_pillow
from sklearn_hilander._report._page import render_report

__all__ = ["MergeCandidate", "ReportContent", "import_pillow", "render_report"]
