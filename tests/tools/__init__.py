"""Obtains the real servers and command line tools of the tests: `python -m tests.tools`."""
