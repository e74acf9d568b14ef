def count_below(limit: int) -> int:
    """How many primes there are below `limit`. Raises ValueError where that is negative."""
