"""What the control plane and the workers agree on; standard library and numpy only."""
