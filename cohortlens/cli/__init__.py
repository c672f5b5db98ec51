"""The command line: the stack of this machine, and everything the API can do, for people and scripts."""
