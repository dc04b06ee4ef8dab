"""What the rest of the house asks of the world.

Every touch of disk, network, clock, randomness and scheduling goes through one of these, so that a test can
drive it: drop what was not synced, tear a write, fill the disk, stop the clock. Code that uses a port runs on
one thread; threads and asyncio live in the adapters.
"""
