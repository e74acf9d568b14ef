"""The workspace's page: jobs, runs, clusters, files and secrets for people with a browser."""
