"""The dashboard: pages for people, made on the server from the same questions as the API's."""
