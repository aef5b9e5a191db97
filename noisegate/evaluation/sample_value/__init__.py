"""What the executions of an experiment say of each training image (docs/sample-value.md)."""
