"""Events joined with the programs that they are of: runs, trips, where every instant belongs, rows beside counts."""
