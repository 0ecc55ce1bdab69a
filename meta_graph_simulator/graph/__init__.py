"""The grammar of the Graph API: calls, fields, filtering, paging, errors."""
