"""Neighbour graphs as pairs of samples: tables of pairs, adjacency, common neighbours."""
