"""Parts that Lightning lacks: processes, CUDA graphs, checkpoint files, loggers, random states.

They serve any LightningModule and know nothing of a run's config or folder.
"""
