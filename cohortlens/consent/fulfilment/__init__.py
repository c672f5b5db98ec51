"""What follows a consent: credential, reward and pinned receipt; and what follows its end."""
