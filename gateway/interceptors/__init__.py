"""The steps every call goes through, whatever its door, and the table of methods."""
