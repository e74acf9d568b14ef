"""The MCP server: a door for agents. What it may do is decided in `guard`, below its tools."""
