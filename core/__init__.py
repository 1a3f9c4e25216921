"""Ground floor: contracts, errors, seeds, atomic files, manifest and progress, with NumPy only."""
