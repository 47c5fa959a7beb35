"""One run, from its config to its summary: build, train, record, resume, open again.

A run never knows whether it is part of a sweep.
"""
