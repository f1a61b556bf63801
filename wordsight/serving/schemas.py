"""What clients send and get, as pydantic models: they check requests, and make the OpenAPI page."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Parameters(BaseModel):
    """How photos are labeled: arguments of the pipeline `multi-label-image-classification`."""

    model_config = ConfigDict(extra="forbid")

    top_k: int | None = Field(default=None, ge=1, description="Most labels of a photo; all by default.", examples=[3])
    threshold: float | None = Field(
        default=None,
        description="Only labels with at least this score; 0.5 is each category's own threshold.",
        examples=[0.5],
    )
    function_to_apply: Literal["default", "sigmoid", "softmax", "none"] | None = Field(
        default=None, description="From calibrated logits to scores; by default probabilities."
    )
    output_heatmaps: bool | None = Field(
        default=None, description="Whether each label gets a heat map, as a PNG in base64. Each costs a picture."
    )
    tiles: Literal["off", "auto", "fine"] | None = Field(
        default=None, description="Parts of a photo to look at beside the whole, for wide or crowded photos."
    )


class ClassificationRequest(BaseModel):
    """Photos in base64, in JSON, as `huggingface_hub.InferenceClient` sends them when there are parameters."""

    model_config = ConfigDict(extra="forbid")

    inputs: str | list[str] = Field(
        description="A photo in base64, or several; a URL, where the server was started with --allow-urls.",
    )
    parameters: Parameters = Field(default_factory=lambda: Parameters())


class Label(BaseModel):
    """A label with its score."""

    label: str
    score: float
    heatmap: str | None = Field(default=None, description="A gray PNG in base64, as large as the photo, if asked for.")


class Problem(BaseModel):
    """Why there is no answer."""

    error: str


class Health(BaseModel):
    """That the server is there, and what it serves."""

    status: Literal["ok"] = "ok"
    labels: int = Field(description="How many categories the model has.")
    wordsight_version: str


def described(error: ValidationError | Any) -> str:
    """What is wrong with a request, in a line: of pydantic's errors, the place and the reason of each."""
    found = []
    for entry in error.errors():
        place = ".".join(str(part) for part in entry["loc"] if part not in {"query", "body"})
        found.append(f"{place}: {entry['msg']}" if place else entry["msg"])
    return f"{'; '.join(found[:5])}. See /docs for what can be sent."


def tiny_photo() -> bytes:
    """A photo for the examples of the OpenAPI page: small enough to be read there."""
    picture = BytesIO()
    Image.linear_gradient("L").resize((16, 16)).convert("RGB").save(picture, "PNG")
    return picture.getvalue()


def request_body() -> dict[str, Any]:
    """OpenAPI's description of the three ways to send photos, with examples that work."""
    photo = base64.b64encode(tiny_photo()).decode()
    examples = {
        "one photo": {"value": {"inputs": photo, "parameters": {"top_k": 3}}},
        "several photos": {"value": {"inputs": [photo, photo], "parameters": {"threshold": 0.0, "top_k": 2}}},
        "where labels are": {"value": {"inputs": photo, "parameters": {"top_k": 1, "output_heatmaps": True}}},
    }
    schema = ClassificationRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    schema["properties"]["parameters"] = Parameters.model_json_schema()
    schema.pop("$defs", None)
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"inputs": {"type": "array", "items": binary}}, "required": ["inputs"]}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema, "examples": examples},
                "image/*": {"schema": binary},
                "multipart/form-data": {"schema": form},
            },
        }
    }
