"""The tools: parameter types, one call of an action or the launcher, and the result."""
