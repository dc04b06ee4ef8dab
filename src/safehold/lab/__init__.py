"""Disasters on purpose: simulated disk, clock and devices, and the oracle that keeps the score."""
