"""What outlives a process: settings, rows, files and wake-up messages. Imports SQLAlchemy and the spec; never torch."""
