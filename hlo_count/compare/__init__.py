"""Two reports become one comparison, and a compile a table of its passes. (`diff` and `passes` are public functions:
no folder of the package may bear their names.)"""
