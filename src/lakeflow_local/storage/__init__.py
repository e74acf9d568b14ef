"""The database, records, files and uploads of a workspace."""
