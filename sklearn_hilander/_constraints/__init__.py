"""What a user knows of pairs and groups: checked, carried over to nodes, kept in every merge."""
