"""Scanners that find what survives in damaged things: records of a core, frames of a vault, files of an export."""
