"""Counts primes, in C++."""

from __future__ import annotations
