"""Repairing the repositories of configurations."""
