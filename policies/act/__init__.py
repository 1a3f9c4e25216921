"""Acting with trained policies and exported bundles."""
