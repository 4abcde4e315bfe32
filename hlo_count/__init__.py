"""hlo_count."""
