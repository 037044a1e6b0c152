"""One pairing that waits for its device: the secrets, and when they are worth nothing any more. No clock, no network.

Single use, ten minutes, ten wrong tries. A device whose answer was lost on the way may repeat the very same statement,
and gets the same answer; nothing is paired twice.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Literal

from orchestrator_relay.errors import PairingRefused
from orchestrator_relay.identity.machine import PublicIdentity
from orchestrator_relay.identity.pairing import SECRET_BYTES, PairingKeys, PairingRequest, Statement
from orchestrator_relay.identity.typed_code import new_code

VALID_S = 600.0
MAX_WRONG = 10

State = Literal["waiting", "paired", "locked", "expired", "cancelled"]


@dataclass
class PendingPairing:
    """
    Args:
        household: the desktop's keys.
        began: the clock's reading at the start; every `now` is of the same clock.
    """

    household: PublicIdentity
    began: float
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(SECRET_BYTES), repr=False)
    code: str = field(default_factory=new_code, repr=False)
    wrong: int = 0
    cancelled: bool = False
    device: PairingRequest | None = None
    _answered: Statement | None = field(default=None, repr=False)
    _keys: tuple[PairingKeys, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        # Once, because the typed code's key is slow: a wrong try then costs two hashes.
        self._keys = (
            PairingKeys.of_secret(self.secret, self.household),
            PairingKeys.of_code(self.code, self.household),
        )

    def state(self, now: float) -> State:
        if self.device is not None:
            return "paired"
        if self.cancelled:
            return "cancelled"
        if self.wrong >= MAX_WRONG:
            return "locked"
        return "expired" if now >= self.began + VALID_S else "waiting"

    def left_s(self, now: float) -> float:
        """Seconds in which the secrets are worth something."""
        return max(0.0, self.began + VALID_S - now) if self.state(now) == "waiting" else 0.0

    def check(self, statement: Statement, now: float) -> tuple[PairingRequest, PairingKeys]:
        """What the device says, when it proves that it knows a secret, and the keys to answer it with. A wrong one is counted.

        Raises:
            PairingRefused: it does not (`wrong_code`), or the pairing is `pairing_locked`, `expired_code`,
                `pairing_cancelled` or, for any other statement than the one that was accepted, `used_code`.
            InvalidPairing: proved, but not what a device has to say.
        """
        proved = [keys for keys in self._keys if statement.proves(keys.device)]
        state = self.state(now)
        repeated = state == "paired" and statement == self._answered and now < self.began + VALID_S
        if state != "waiting" and not repeated:
            raise refusal(state)
        if not proved:
            self.wrong += 1
            raise refusal("locked" if self.wrong >= MAX_WRONG else "wrong")
        request = PairingRequest.read(statement)
        if request.household != self.household:
            raise refusal("wrong")
        return request, proved[0]

    def used(self, request: PairingRequest, statement: Statement) -> None:
        """The device is in the registry."""
        self.device, self._answered = request, statement


_AGAIN = "Show a new one on the desktop: `orchestrator pair`"
_REFUSALS: dict[str, tuple[str, str, str]] = {
    "none": ("no_pairing", "The desktop waits for no device.", _AGAIN),
    "wrong": ("wrong_code", "The code is wrong.", "Type it as the desktop shows it, or show a new one."),
    "locked": ("pairing_locked", f"The code was tried wrongly {MAX_WRONG} times and is locked.", _AGAIN),
    "expired": ("expired_code", "The code is older than ten minutes.", _AGAIN),
    "cancelled": ("pairing_cancelled", "The pairing was cancelled on the desktop.", _AGAIN),
    "paired": ("used_code", "The code was used already.", _AGAIN),
}


def refusal(why: str) -> PairingRefused:
    code, message, hint = _REFUSALS[why]
    return PairingRefused(message, hint=hint, code=code)
