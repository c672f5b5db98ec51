"""The message schemas that vectors of transcoding are about, written once; no vector file is asked for them."""
