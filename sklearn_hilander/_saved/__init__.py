"""Estimators to files and back, as descriptions in JSON types and named arrays."""
