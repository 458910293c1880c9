"""The sans-I/O engine of the Realtime dialect.

Nothing in this package awaits, opens a socket, reads a clock, draws a random number
or starts a thread: time and identifiers are handed in, decisions come out as actions.
"""
