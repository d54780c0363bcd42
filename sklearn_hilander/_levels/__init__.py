"""The paper's method: scores of a level, a forest, supernodes, level after level."""
