"""Measures of clusterings, consensus, latents and modalities, on arrays or as torchmetrics.

Nothing here draws, logs or knows a model: models are seen through `mixvae.contracts`.
"""
