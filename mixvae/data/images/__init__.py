"""Images: digits, MNIST, sprites, and the user's own files and arrays."""
