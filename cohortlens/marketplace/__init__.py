"""Answers about consenting customers, offered by one tenant to another; never rows."""
