"""Training windows from memory-mapped frames."""
