"""Named arrays in one file each: written whole or not at all, checked when read."""
