"""A sweep over models of handwritten digits: one model and one parameter in each run."""

from __future__ import annotations
