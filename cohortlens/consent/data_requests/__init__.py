"""Requests of persons about their data: asked for, decided, done store by store, with a manifest."""
