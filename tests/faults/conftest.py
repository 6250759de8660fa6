"""The command line, for the tests of faults."""

from cli.conftest import run

__all__ = ["run"]
