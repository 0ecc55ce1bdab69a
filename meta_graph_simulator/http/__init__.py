"""The server: Graph calls over HTTP, and the control endpoint."""
