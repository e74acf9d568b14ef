"""The tools: argument types, one call of the guarded launcher, the shape of the answer."""
