"""Cells by genes: AnnData, 10x, loom and zarr, in memory or on disk, prepared on training rows."""
