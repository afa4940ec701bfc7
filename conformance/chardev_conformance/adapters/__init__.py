"""Targets: how the checker reaches an implementation."""
