"""The commands that ask a service, by what they are about; `cli` puts them together."""
