"""What the package reaches, measured."""
