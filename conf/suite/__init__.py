"""Suites: values only, no code."""
