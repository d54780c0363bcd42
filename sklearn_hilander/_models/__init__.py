"""Named architectures, what meta-training leaves of them, and meta-training itself."""
