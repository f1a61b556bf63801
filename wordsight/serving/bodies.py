"""What is in a request: photos as they were sent, and how they are to be labeled."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fastapi import HTTPException, Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from .options import ServingOptions
from .photos import from_base64, is_url
from .schemas import ClassificationRequest, Parameters, described

MOST_FIELDS = 20  # of a form, beside its files


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        photos: contents of files, or URLs.
        parameters: how they are labeled.
        several: whether a list of photos was sent, and so a list of lists of labels is expected.
    """

    photos: list[bytes | str]
    parameters: Parameters
    several: bool

    def name(self, number: int) -> str:
        """What to call a photo in an error."""
        return f"Photo {number + 1}" if self.several else "The photo"


async def read_request(request: Request, query: Parameters, options: ServingOptions) -> Asked:
    """What a request asks for: JSON and forms by their content type, and all else is a photo.

    Args:
        request: the request, whose body was not read yet.
        query: parameters in its address; those in the body come before them.
        options: the server's.

    Raises:
        HTTPException: 408, it does not come in time; 413, too many photos; 422, there is something wrong with it.
        ClientDisconnect: the client has gone.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(options.timeout):
            if kind == "multipart/form-data":
                asked = await _form(request, options)
            else:
                body = await request.body()
                asked = Asked([body], Parameters(), False)
                if kind == "application/json":  # megabytes of base64 take a while, in which others are answered
                    asked = await asyncio.to_thread(_json, body, options)
    except TimeoutError as error:
        raise HTTPException(
            408, f"The request did not come within {options.timeout:g} s.", {"Connection": "close"}
        ) from error
    except ValidationError as error:
        raise HTTPException(422, described(error)) from error
    if not asked.photos or not all(asked.photos):
        raise HTTPException(422, "The request holds no photo. Send a photo's content as the body, or JSON: see /docs.")
    if not options.allow_urls and any(isinstance(photo, str) for photo in asked.photos):
        raise HTTPException(422, "URLs are not fetched here. Send the photo itself, or start with --allow-urls.")
    _check_count(len(asked.photos), options)
    parameters = query.model_copy(update=asked.parameters.model_dump(exclude_unset=True))
    return Asked(asked.photos, parameters, asked.several)


def _check_count(photos: int, options: ServingOptions) -> None:
    if photos > options.max_queue:
        raise HTTPException(413, f"{photos} photos are more than {options.max_queue}. Send fewer at a time.")


def _json(body: bytes, options: ServingOptions) -> Asked:
    content = ClassificationRequest.model_validate_json(body)
    several = isinstance(content.inputs, list)
    texts = content.inputs if isinstance(content.inputs, list) else [content.inputs]
    _check_count(len(texts), options)
    unread = Asked([], content.parameters, several)
    photos = [text if is_url(text) else from_base64(text, unread.name(number)) for number, text in enumerate(texts)]
    return Asked(photos, content.parameters, several)


async def _form(request: Request, options: ServingOptions) -> Asked:
    async with request.form(
        max_files=options.max_queue, max_fields=MOST_FIELDS, max_part_size=options.max_body
    ) as form:
        entries = form.multi_items()
        photos: list[bytes | str] = [await value.read() for _, value in entries if isinstance(value, UploadFile)]
        fields = {name: value for name, value in entries if isinstance(value, str)}
    if not photos:
        raise HTTPException(422, "The form holds no file. Send each photo as a file of the field 'inputs'.")
    return Asked(photos, Parameters.model_validate(fields), True)
