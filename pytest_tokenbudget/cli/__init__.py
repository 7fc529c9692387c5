"""The command ``tokenbudget``: one file a command, each with a name, a line of help, its arguments and what it does."""
