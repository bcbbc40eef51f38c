"""`python -m kdtutor`: one file per command."""
