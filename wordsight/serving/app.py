"""The FastAPI app: the Hub's inference protocol at `/`, beside `/health`, `/metrics` and the OpenAPI page `/docs`."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wordsight.version import __version__

from .bodies import read_request
from .options import MEGA, ServingOptions
from .schemas import Health, Label, Parameters, Problem, described, request_body, tiny_photo
from .service import Service

if TYPE_CHECKING:
    from wordsight.pipelines.multi_label_image_classification import MultiLabelImageClassificationPipeline

BODIES_HELD = 50  # of the largest size, in a process
CLIENT_GONE = 499  # as nginx has it; nobody reads it but the log
PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "The token is missing or wrong."},
    408: {"model": Problem, "description": "The request did not come in time."},
    413: {"model": Problem, "description": "The request, or a photo, is too large."},
    415: {"model": Problem, "description": "A photo's format is not read here."},
    422: {"model": Problem, "description": "A photo or a parameter can't be used."},
    503: {"model": Problem, "description": "Too much is under way; Retry-After says when to try again."},
    504: {"model": Problem, "description": "It took too long."},
}
DESCRIPTION = """Labels photos with any number of a model's categories. It speaks the Hub's inference protocol for image
classification: `huggingface_hub.InferenceClient(ADDRESS).image_classification("photo.jpg")`."""

router = APIRouter()
bearer = HTTPBearer(auto_error=False)


def service_of(request: Request) -> Service:
    """The app's service."""
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(service_of)]


def check_key(service: TheService, token: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
    """Refuses clients that don't send the key, where there is one."""
    key = service.options.api_key
    # Headers come as Latin-1, whatever their bytes mean.
    sent = token.credentials.encode("latin-1") if token else b""
    if key is not None and not secrets.compare_digest(sent, key.encode()):
        raise HTTPException(
            401,
            "The API key is missing or wrong. Send it as 'Authorization: Bearer KEY'.",
            {"WWW-Authenticate": "Bearer"},
        )


@router.post(
    "/",
    dependencies=[Depends(check_key)],
    response_model=list[Label] | list[list[Label]],
    responses=PROBLEMS,
    openapi_extra=request_body(),
    summary="Label photos",
)
async def classify(request: Request, query: Annotated[Parameters, Query()], service: TheService) -> Response:
    """Labels of a photo, best first; of several photos a list of such lists.

    Send a photo as the request's body, photos in base64 as JSON, or files as a form. Parameters can be in the address
    (`/?top_k=3`), in JSON's `parameters`, or fields of the form.
    """
    asked = await read_request(request, query, service.options)
    labels = await _unless_gone(request, service.classify(asked))
    return JSONResponse(labels)


@router.get("/health", summary="Whether the server is there")
async def health(service: TheService) -> Health:
    """What is served."""
    return Health(labels=len(service.labeler.names), wordsight_version=__version__)


@router.get("/metrics", dependencies=[Depends(check_key)], response_class=Response, summary="For Prometheus")
async def metrics(service: TheService) -> Response:
    """Requests, photos, batches and seconds."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/", include_in_schema=False)
async def home() -> RedirectResponse:
    """What a browser gets: this page's address."""
    return RedirectResponse("docs")


async def _unless_gone(request: Request, work: Coroutine[Any, Any, list[Any]]) -> list[Any]:
    """A coroutine's result, as long as the client waits for it.

    Raises:
        ClientDisconnect: it hung up; the work is cancelled.
    """

    async def hang_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(hang_up())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await each


class RequestGuard:
    """Counts requests for labels, and refuses those that say themselves that they are too large, in plain words.

    Bodies that don't say so are measured by starlette's own middleware. What all under way may hold together is limited
    too, before any is read.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service, self.held = app, service, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        start, metrics = time.perf_counter(), self.service.metrics

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                metrics.requests.labels(str(message["status"])).inc()
                metrics.seconds.observe(time.perf_counter() - start)
            await send(message)

        options, app = self.service.options, self.app
        length = dict(scope["headers"]).get(b"content-length", b"")
        size = int(length) if length.isdigit() else options.max_body  # one that doesn't say so may be as large
        if size > options.max_body:
            app, size = JSONResponse({"error": too_large(options)}, 413, {"Connection": "close"}), 0
        elif self.held + size > BODIES_HELD * options.max_body:
            said = f"Requests of {self.held / MEGA:.0f} MB are under way already. Try again in 1 s."
            app, size = JSONResponse({"error": said}, 503, {"Connection": "close", "Retry-After": "1"}), 0
        self.held += size
        try:
            await app(scope, receive, counted)
        finally:
            self.held -= size


def too_large(options: ServingOptions) -> str:
    """What to say of a body that is too large."""
    return f"The request is larger than {options.max_body_mb:g} MB. Send a smaller photo, or fewer at a time."


def make_app(
    classifier: MultiLabelImageClassificationPipeline, options: ServingOptions | None = None, **parts: Any
) -> FastAPI:
    """An ASGI app that labels photos; `wordsight serve` runs it.

    Args:
        classifier: the pipeline of a model.
        options: limits and batches.
        parts: of `Service`.

    Example:
        >>> from fastapi.testclient import TestClient
        >>> from transformers import pipeline
        >>> from wordsight.serving import make_app
        >>> app = make_app(pipeline("multi-label-image-classification", model="my-model"))
        >>> with TestClient(app) as client, open("photos/chelsea.jpg", "rb") as photo:
        ...     client.post("/?top_k=1", content=photo.read()).json()[0]["label"]
        'cat'
    """
    service = Service(classifier, options or ServingOptions(), **parts)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            # Also what is slow the first time is done now, and the page's example of an answer is a real one.
            example = await service.warm_up(tiny_photo())
            answer = app.openapi()["paths"]["/"]["post"]["responses"]["200"]
            answer["content"]["application/json"]["example"] = example
            yield

    app = FastAPI(title="wordsight", version=__version__, description=DESCRIPTION, lifespan=lifespan)
    app.state.service = service
    app.include_router(router)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=service.options.max_body)
    app.add_middleware(RequestGuard, service=service)

    @app.exception_handler(StarletteHTTPException)
    async def refused(_: Request, error: StarletteHTTPException) -> JSONResponse:
        said = too_large(service.options) if error.detail == "Content Too Large" else error.detail
        return JSONResponse({"error": said}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def not_valid(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": described(error)}, 422)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_GONE)

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"error": "The server failed; its log says why."}, 500)

    return app
