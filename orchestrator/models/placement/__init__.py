"""Which part runs where, in which precision, and what it takes of memory."""
