"""Worlds on one thread: a whole installation with its vaults, devices and people, struck and judged by seed.

Above `assembly`, of which it drives the real parts; below the command that runs it.
"""
