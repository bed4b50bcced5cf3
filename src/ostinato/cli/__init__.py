"""The command line: one thin module a command. Nothing imports it."""
