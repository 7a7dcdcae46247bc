"""Django as the oracle: the same queries over the same tables, through our models and Django's, rows compared."""
