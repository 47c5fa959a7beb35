"""Several modalities of the same events: arrays, rats, images with captions, cells and proteins."""
