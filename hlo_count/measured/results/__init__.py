"""What a user is handed: a trace, a program of it, what was tracked, a profile that was fitted."""
