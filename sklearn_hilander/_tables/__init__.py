"""Embeddings, labels, images and texts from files, and labels to files."""

from sklearn_hilander._tables._reading import (
    Table,
    read_images,
    read_labels,
    read_table,
    read_texts,
)
from sklearn_hilander._tables._writing import LABEL_SUFFIXES, write_atomically, write_labels

__all__ = [
    "LABEL_SUFFIXES",
    "Table",
    "read_images",
    "read_labels",
    "read_table",
    "read_texts",
    "write_atomically",
    "write_labels",
]
