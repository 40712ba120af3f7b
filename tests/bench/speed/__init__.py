"""How fast: refdiff beside its peers, in turn, in one process, once their results agree."""
