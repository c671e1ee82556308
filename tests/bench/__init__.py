"""The figures of the README: `python -m tests.bench [ROW...]`, or `make bench`."""
