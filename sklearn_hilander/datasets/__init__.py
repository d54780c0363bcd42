"""Data to try the clusterer on, made on the spot: nothing is downloaded."""

from sklearn_hilander.datasets._glyphs import load_glyphs
from sklearn_hilander.datasets._identities import make_identities

__all__ = ["load_glyphs", "make_identities"]
