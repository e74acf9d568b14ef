"""Databricks objects as observed, beside the requests about them. One module per kind of object."""
