"""Pairwise and BCubed precision, recall and F, scorers for model selection, labels that go on."""

from sklearn_hilander.metrics._agreement import (
    bcubed_f_score,
    bcubed_precision_recall_fscore,
    pairwise_f_score,
    pairwise_precision_recall_fscore,
)
from sklearn_hilander.metrics._matching import match_labels
from sklearn_hilander.metrics._scorers import bcubed_f_scorer, pairwise_f_scorer

__all__ = [
    "bcubed_f_score",
    "bcubed_f_scorer",
    "bcubed_precision_recall_fscore",
    "match_labels",
    "pairwise_f_score",
    "pairwise_f_scorer",
    "pairwise_precision_recall_fscore",
]
