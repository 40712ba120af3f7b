"""Folders of configurations and weights, as strangers wrote them, to what `refdiff.nn` takes."""
