"""The client against real sockets, and the supervisor with real processes."""
