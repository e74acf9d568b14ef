"""What a user asks for: deploy, trigger, follow, copy, and so on. One module per operation."""
