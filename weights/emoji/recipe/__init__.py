"""How the emoji weights were made: one command a stage, see `python -m recipe --help`."""
