"""Comparing an implementation with refdiff: whose numbers differ, where first, and why."""
