"""mixvae: what kind of thing a sample is, apart from how it varies.

Axis letters, used in every docstring and as suffixes where a name alone would be ambiguous:

**A** agents, **B** batch, **K** categories, **S** state dimensions, **D** features,
**M** modalities, **L** latent dimensions, **C** label classes.

All objectives are in nats: summed over features, averaged over the batch.
"""

__version__ = "0.1.0"
