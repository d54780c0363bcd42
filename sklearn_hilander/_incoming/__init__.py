"""Rows that come after a clustering: joined to its clusters, or opening new ones."""
