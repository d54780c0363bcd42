"""Rows as users give them, or distances in their place, to embeddings."""
