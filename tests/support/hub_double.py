"""A hub on this machine, with one repository."""

from __future__ import annotations

import hashlib

from support.openai_server import Exchange, HttpDouble

REPO = "owner/some-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(HttpDouble):
    """The routes of a hub that a download needs.

    Args:
        files: of the one repository.
        status: answered to everything, instead.
        break_off: this file's connection breaks in the middle, once.
        missing: this file is listed, and not there.
        told_sha256: of every file, instead of the right one.
    """

    def __init__(
        self,
        files: dict[str, bytes],
        *,
        status: int = 200,
        break_off: str | None = None,
        missing: str | None = None,
        told_sha256: str | None = None,
    ) -> None:
        self.files = files
        self.status = status
        self.break_off = break_off
        self.missing = missing
        self.told_sha256 = told_sha256
        super().__init__(self._answer)

    @property
    def endpoint(self) -> str:
        return self.url.removesuffix("/v1")

    @property
    def downloaded(self) -> list[str]:
        marker = f"/{REPO}/resolve/{COMMIT}/"
        return sorted({e.path.removeprefix(marker) for e in self.seen if e.path.startswith(marker)})

    def _answer(self, exchange: Exchange) -> None:
        path = exchange.path.partition("?")[0]
        resolved = f"/{REPO}/resolve/{COMMIT}/"
        if self.status != 200:
            headers = {"X-Error-Code": "RepoNotFound"} if self.status == 404 else {}
            exchange.json({"error": "no"}, self.status, headers)
        elif path.startswith(f"/api/models/{REPO}/tree/"):
            exchange.json([self._entry(name, data) for name, data in self.files.items()])
        elif path.startswith(f"/api/models/{REPO}"):
            siblings = [self._sibling(name, data) for name, data in self.files.items()]
            tags = ["gguf", "license:apache-2.0"]
            exchange.json({"id": REPO, "modelId": REPO, "sha": COMMIT, "tags": tags, "siblings": siblings})
        elif path == "/api/models":
            exchange.json([{"id": REPO, "modelId": REPO, "downloads": 7, "tags": ["license:apache-2.0"]}])
        elif path.startswith(resolved) and not path.endswith(f"/{self.missing}"):
            self._file(exchange, path.removeprefix(resolved))
        else:
            exchange.json({"error": "no such route"}, 404)

    def _file(self, exchange: Exchange, name: str) -> None:
        data = self.files[name]
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
        given = exchange.headers.get("Range")
        if exchange.method == "HEAD":
            exchange.json(b"", 200, headers | {"Content-Length": str(len(data))})
        elif given:
            start = int(given.removeprefix("bytes=").partition("-")[0])
            span = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            exchange.json(data[start:], 206, headers | span)
        elif name == self.break_off:
            self.break_off = None
            exchange.json(data[: len(data) // 2], 200, headers | {"Content-Length": str(len(data))})
            exchange.drop()
        else:
            exchange.json(data, 200, headers)

    @staticmethod
    def _entry(name: str, data: bytes) -> dict[str, object]:
        return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}

    def _sibling(self, name: str, data: bytes) -> dict[str, object]:
        digest = self.told_sha256 or hashlib.sha256(data).hexdigest()
        lfs = {"size": len(data), "sha256": digest, "pointerSize": 134}
        return {"rfilename": name, "size": len(data), "blobId": "0" * 40, "lfs": lfs}
