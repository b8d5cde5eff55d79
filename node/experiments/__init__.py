"""Scenarios, their runs, results, checks, figures and reports."""
