"""The queries, a table a subject: what it asks, in words, to the query."""
