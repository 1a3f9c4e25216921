"""The network of a policy: encoders, pooling, trunk and heads."""
