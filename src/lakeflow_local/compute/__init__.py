"""Where tasks run: clusters, environments, libraries and processes."""
