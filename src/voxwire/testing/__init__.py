"""Doubles, clocks and conformance checks, for our tests and yours."""
