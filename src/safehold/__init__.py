"""Safehold: a personal-data service that can lose its database and lose nothing."""

__version__ = "0.1.0"
