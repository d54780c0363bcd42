"""The version, in a room that any other may import."""

__version__ = "0.1.0.dev0"
