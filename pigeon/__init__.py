"""Pigeon runs commands on another machine through nothing but a shared directory."""

__version__ = "1.0.0"
