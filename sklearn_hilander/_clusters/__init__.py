"""Embeddings to clusters with a model at hand, and the state that a clustering leaves."""
