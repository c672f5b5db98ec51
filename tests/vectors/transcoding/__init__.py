"""Formats of the vectors of transcoding, from other implementations of google.api.http."""
