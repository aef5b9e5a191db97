"""Real faults in real processes; `python -m tests.faults` is the long form, test_faults.py the short one."""
