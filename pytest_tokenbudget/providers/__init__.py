"""One module an API: its endpoints, and how its requests and answers are read and written; ``contrib`` holds the rare ones."""
