"""Benchmarks with a version: what is played, one result file of a policy, its score card, and a page of many."""
