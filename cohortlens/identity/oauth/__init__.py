"""The OAuth 2 authorisation server."""
