"""Machine code behind the fast engine; imported by an op's kernel on its first use only."""
