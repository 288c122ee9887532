"""Configurations, clients and references to secrets."""
