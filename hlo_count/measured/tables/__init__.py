"""Measured programs as text, and as plain data."""
