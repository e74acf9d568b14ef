"""HTTP to a workspace: configuration, discovery, errors, retries and the Databricks SDK."""
