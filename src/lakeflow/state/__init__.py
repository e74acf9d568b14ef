"""This machine's state folder: pending invocations and the cache."""
