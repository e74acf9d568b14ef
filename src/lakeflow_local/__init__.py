"""The local workspace: Databricks' REST API on 127.0.0.1, where wheel tasks really run."""
