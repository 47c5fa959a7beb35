"""Many runs: the jobs of a multirun, the trials of a search, their tables.

Each job is one run; what a sweep adds is its folder, its order and what is left to do.
"""
