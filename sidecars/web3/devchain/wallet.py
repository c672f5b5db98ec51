"""``python -m sidecars.web3.devchain.wallet``: a customer's wallet for demonstrations, in its own process.

Its keys are made at its start and end with it. It prints its addresses as a line of JSON, then answers each
line ``{"chain": "evm" | "solana", "message": "..."}`` with ``{"signature": "<hexadecimal>"}`` until its input
ends. EVM signatures are ``personal_sign`` (EIP-191), those of Solana Ed25519 over the text.
"""

from __future__ import annotations

import json
import sys

from eth_account import Account
from eth_account.messages import encode_defunct
from solders.keypair import Keypair


def main() -> int:
    """Serve until the input ends."""
    evm, solana = Account.create(), Keypair()
    _say({"evm": evm.address, "solana": str(solana.pubkey())})
    for line in sys.stdin:
        asked = json.loads(line)
        text = asked["message"]
        if asked["chain"] == "evm":
            signature = bytes(evm.sign_message(encode_defunct(text=text)).signature)
        else:
            signature = bytes(solana.sign_message(text.encode()))
        _say({"signature": signature.hex()})
    return 0


def _say(words: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
