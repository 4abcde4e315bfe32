"""Cost x device profile -> time bounds; calibration of the machine at hand."""
