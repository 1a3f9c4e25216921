"""Random toys: primitives, the distribution they are drawn from, and the sets `toys:...`."""
