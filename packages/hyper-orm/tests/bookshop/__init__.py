"""A bookshop: the application schema that the ORM's tests run against, filled with more than 100 000 rows.

- `models`: the schema in our syntax. `django_app`: the same tables as Django's models.
- `schema.sql`: the same schema as plain SQL, which the tables are really made from.
- `data`: the rows, the same ones in every run. `load`: brings them into a database.
- `fixtures`: the pytest plugin that hands out databases with all of that in them.
"""
