"""Rows to their nearest rows: exact, by cells, within two hops, on a device."""
