"""A mailer that keeps what it is given."""

from __future__ import annotations


class FakeMailer:
    def __init__(self):
        self.sent = []
        self.fault = None
        self.refused = {}

    async def send(self, mail):
        if self.fault is not None:
            raise self.fault
        if mail.to in self.refused:
            raise self.refused[mail.to]
        self.sent.append(mail)

    async def ping(self):
        if self.fault is not None:
            raise self.fault
