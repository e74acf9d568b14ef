"""Wheels: metadata, stamping, building, manifests and compatibility checks."""
