"""A run folder or a sweep as one HTML page that opens from disk, without a network.

Reads files only: a report can be made of a stopped, failed or older run, and after a test.
"""
