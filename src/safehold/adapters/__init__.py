"""The world as it is: clock, randomness, threads, passwords, and the socket between processes of one installation.

Each is a thin implementation of a port of `ports.world`; no rule of the house lies here. What stands in for them
in tests and disasters is `lab.world`.
"""
