"""What users ask for, as typed values that do no I/O."""
