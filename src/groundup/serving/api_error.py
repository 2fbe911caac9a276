"""Errors in OpenAI's form: a status, and a body that says what, of which kind and where."""

import msgspec

__all__ = ["ApiError", "ErrorBody", "ErrorDetail"]


class ErrorDetail(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(msgspec.Struct):
    """``{"error": {"message", "type", "param", "code"}}``, of every answer that is not 2xx."""

    error: ErrorDetail


class ApiError(Exception):
    """An answer other than the one asked for; what a client sees of a failure."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
        close: bool = False,
        allow: str | None = None,
    ) -> None:
        """Arguments:
        status: of HTTP.
        message: what was got, what was expected, what to do.
        param: the field that is wrong, as ``messages[0].content``.
        code: a name for programs, such as ``model_not_found``.
        retry_after: seconds after which asking again may help.
        close: the connection is of no use afterwards, as when its body was not read.
        allow: the methods that would have been answered.
        """
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_after = retry_after
        self.close = close
        self.allow = allow

    @property
    def type(self) -> str:
        """OpenAI's kind of error, which its clients show."""
        if self.status == 401:
            return "authentication_error"
        if self.status == 429:
            return "rate_limit_error"
        return "invalid_request_error" if self.status < 500 else "server_error"

    def body(self) -> bytes:
        """The error as JSON."""
        detail = ErrorDetail(self.message, self.type, self.param, self.code)
        return msgspec.json.encode(ErrorBody(detail))

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the response's headers add for it."""
        headers = []
        if self.retry_after is not None:
            headers.append((b"retry-after", str(self.retry_after).encode()))
        if self.allow is not None:
            headers.append((b"allow", self.allow.encode()))
        if self.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if self.close:
            headers.append((b"connection", b"close"))
        return headers
