"""Embeddings learned by classification: the step before clustering."""

from sklearn_hilander.encoding._classifier_encoder import ClassifierEncoder

__all__ = ["ClassifierEncoder"]
