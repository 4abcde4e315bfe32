"""What people see: the Report, its tables, plots and exports."""
