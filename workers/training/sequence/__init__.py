"""The sequence members of the line-up: recurrent and attention nets on weekly sequences, in PyTorch."""
