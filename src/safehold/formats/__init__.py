"""Bytes to values and back; one module for each page of docs/formats/. Pure."""
