"""Linkage probabilities to clusters: rounds of merges that a judge of cluster pairs decides."""
