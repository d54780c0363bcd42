"""Clusters that a random walk seldom leaves, and the scale at which they change least."""
