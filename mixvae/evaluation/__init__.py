"""Measures of a clustering, of the agents' consensus and of a posterior's health."""
