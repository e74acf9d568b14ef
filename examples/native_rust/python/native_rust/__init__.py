"""Counts primes, in Rust."""

from __future__ import annotations
