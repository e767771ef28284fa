"""The file in a request's body: the body itself, or the one file of a form (multipart/form-data).

It goes to a file without a name, piece by piece as it arrives, and is never in memory as a whole. Neither the
name nor the type that the client gives it says what it is: the decoder does.
"""

import tempfile
from hashlib import blake2b
from typing import BinaryIO, Final, cast

import trio
from quart import request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, RequestTimeout
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from api.http.protocol import Scope, require_whole_body
from engine.assets.asset import MAX_NAME_CHARS, MAX_UPLOAD_BYTES
from engine.common.errors import FieldError, InvalidError
from engine.common.text_rules import printable, text_errors

RECEIVE_LIMIT_S: Final = 120.0
# What a form may have around its file.
MAX_ENVELOPE_BYTES: Final = 16 * 1024
MAX_BODY_BYTES: Final = MAX_UPLOAD_BYTES + MAX_ENVELOPE_BYTES
_MAX_PARTS: Final = 10
_NO_FILE: Final = "must be a picture, or a form (multipart/form-data) with one file"


class SpooledUpload:
    """The file as it arrives. Close it at the end; it has no name, so it goes with this process at the
    latest."""

    def __init__(self) -> None:
        self.file: BinaryIO = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
        self.name = ""  # as the client's form says
        self._hash = blake2b(digest_size=32)
        self._bytes = 0

    async def receive(self) -> None:
        """Take the body of the current request.

        Raises InvalidError without a file or with two, RequestEntityTooLarge as soon as it is too large,
        BadRequest if it is malformed, and RequestTimeout after RECEIVE_LIMIT_S.
        """
        with trio.move_on_after(RECEIVE_LIMIT_S) as limit:
            if request.mimetype == "multipart/form-data":
                await self._receive_form()
            else:
                async for piece in request.body:
                    await self._add(piece)
        if limit.cancelled_caught:
            raise RequestTimeout
        require_whole_body(cast(Scope, request.scope))
        if not self._bytes:
            raise InvalidError([FieldError("body", _NO_FILE)])

    def digest(self) -> bytes:
        return self._hash.digest()

    def close(self) -> None:
        self.file.close()

    async def _receive_form(self) -> None:
        boundary = request.mimetype_params.get("boundary", "")
        if not boundary or not boundary.isascii():
            raise BadRequest("a form needs a boundary")
        form = _Form(boundary.encode("ascii"))
        async for piece in request.body:
            await self._add_parts(form, piece)
        await self._add_parts(form, None)

    async def _add_parts(self, form: "_Form", piece: bytes | None) -> None:
        for content in form.contents(piece):
            await self._add(content)
        self.name = form.name

    async def _add(self, piece: bytes) -> None:
        await trio.to_thread.run_sync(self.write, piece)

    def write(self, piece: bytes) -> None:
        """Take a piece of the file. Raises RequestEntityTooLarge."""
        self._bytes += len(piece)
        if self._bytes > MAX_UPLOAD_BYTES:
            raise RequestEntityTooLarge
        self._hash.update(piece)
        self.file.write(piece)


class _Form:
    """The one file of a form, read from pieces of the form. `name` is its name."""

    def __init__(self, boundary: bytes) -> None:
        self._decoder = MultipartDecoder(
            boundary, max_form_memory_size=MAX_ENVELOPE_BYTES, max_parts=_MAX_PARTS
        )
        self._files = 0
        self._is_file = False
        self.name = ""

    def contents(self, piece: bytes | None) -> list[bytes]:
        """Return what a piece of the form (None: its end) has of the file.

        Raises BadRequest, RequestEntityTooLarge, and InvalidError for a second file.
        """
        contents: list[bytes] = []
        try:
            self._decoder.receive_data(piece)
            while not isinstance(event := self._decoder.next_event(), NeedData | Epilogue):
                self._take(event, contents)
        except ValueError as error:
            raise BadRequest(f"the form is malformed: {error}") from None
        return contents

    def _take(self, event: Event, contents: list[bytes]) -> None:
        if isinstance(event, File):
            self._files, self._is_file = self._files + 1, True
            self.name = file_name(event.filename or "")
        elif isinstance(event, Field):
            self._is_file = False
        elif isinstance(event, Data) and self._is_file:
            contents.append(bytes(event.data))
        if self._files > 1:
            raise InvalidError([FieldError("body", "must have one file; send each alone")])


def file_name(name: str) -> str:
    """Return a client's name of a file, without folders; empty if it is none that a member may give."""
    name = printable(name.replace("\\", "/").rpartition("/")[2])[-MAX_NAME_CHARS:]
    return "" if text_errors(name, "name", MAX_NAME_CHARS) else name
