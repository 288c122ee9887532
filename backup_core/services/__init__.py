"""The public face: the classes that people call."""
