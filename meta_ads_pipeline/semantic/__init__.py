"""One definition of measures and dimensions, for the HTTP API, the MCP server and dbt."""
