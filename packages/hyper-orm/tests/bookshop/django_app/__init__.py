"""A Django app without a project: Django finds reverse relations among the models of installed apps alone."""
