"""`picotrain sweep`: many adaptations from one grid, in parallel, resumable (docs/sweep.md)."""
