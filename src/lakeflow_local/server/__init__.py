"""The HTTP server: routes, API handlers, web UI, access control and injected faults."""
