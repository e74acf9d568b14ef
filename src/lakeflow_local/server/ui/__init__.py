"""The web UI: jobs, runs, clusters, files and secrets in a browser."""
