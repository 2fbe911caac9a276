"""Passwords: hashed by Argon2id, so that each guess costs memory and time.

Source: RFC 9106; the parameters are its second recommended option (64 MiB, 3 passes, 4 lanes).
"""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY

from groundup.app.store.accounts import User
from groundup.app.store.store import Store
from groundup.errors import GroundupError

__all__ = ["checked_password", "hash_password", "user_with_password"]

SHORTEST, LONGEST = 10, 1000  # characters

_HASHER = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
# Of no password: compared with where there is no account, so that the time tells nothing.
_NOBODYS = (
    "$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$"
    "CKRr+j2Vu+nU04ztbTeIuhOFzYqZE6/eNvW6ayzoJNI"
)


def checked_password(password: str, name: str) -> str:
    """A password that an account may have.

    Raises:
        GroundupError: it is too short, too long, or the account's name.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise GroundupError(
            f"a password has {SHORTEST} to {LONGEST} characters, got {len(password)}: a few words "
            f"that nobody would guess make a good one"
        )
    if password.lower() == name.strip().lower():
        raise GroundupError("the password is the account's name: choose another")
    return password


def hash_password(password: str) -> str:
    """Hash a password, with a random salt. Takes about 0.1 s and 64 MiB."""
    return _HASHER.hash(password.encode(errors="replace"))


def user_with_password(store: Store, name: str, password: str) -> User | None:
    """The account of this name if that is its password, else None.

    It takes as long where there is no such account. A hash that was made with other parameters is
    renewed.
    """
    found = store.accounts.password_hash(name)
    right = _verify(found[1] if found else _NOBODYS, password[: LONGEST + 1])
    if found is None or not right:
        return None
    user, hashed = found
    if _HASHER.check_needs_rehash(hashed):
        store.accounts.set_password_hash(user.name, hash_password(password))
    return user


def _verify(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password.encode(errors="replace"))
    except (VerifyMismatchError, InvalidHashError):
        return False
