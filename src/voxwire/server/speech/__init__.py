"""Hearing, thinking and speaking of the embedded server: four small protocols and what implements them."""
