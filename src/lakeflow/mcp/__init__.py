"""The MCP server: lets agents run and watch jobs, within a policy that its operator sets."""
