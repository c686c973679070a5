"""Buckets of S3, Google and Azure, through fsspec."""

from __future__ import annotations

import base64
import importlib
import logging
import os
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

from rtbids.errors import UsageFault
from rtbids.send import credentials
from rtbids.send.destinations import Access
from rtbids.send.stores import PART, WHOLE, Object

CONNECTING = 5  # seconds in which a host must have taken the connection
_INSTALL = "pip install 'rtbids[cloud]'"
_MODULES = {  # of gcsfs the plain file system: another asks Google for more of a bucket, and of an emulator in vain
    "s3": "s3fs",
    "gs": "gcsfs.core",
    "az": "adlfs",
}
_SLOW = 1 << 20  # bytes a second that a line carries at the least
_MD5 = 32  # digits of an ETag that is one


class Cloud(ABC):
    """A bucket, and the prefix in it that all names have."""

    def __init__(self, scheme: str, bucket: str, prefix: str, access: Access) -> None:
        self._bucket, self._prefix, self._access = bucket, prefix, access
        package = _MODULES[scheme].partition(".")[0]
        try:
            importlib.import_module(package)
            self._module = importlib.import_module(_MODULES[scheme])
        except ImportError:
            raise UsageFault(f"{scheme}:// needs {package}, which is not installed", _INSTALL) from None
        for name in ("s3fs", "gcsfs", "adlfs", "azure", "aiobotocore", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # they would print tracebacks

    def ready(self) -> None:
        _ = self.files

    def read(self, name: str) -> bytes | None:
        try:
            return bytes(self.files.cat_file(self._path(name), **self._patience()))
        except FileNotFoundError:
            return None

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _path(self, name: str) -> str:
        return f"{self._bucket}/{self._key(name)}"

    def _patience(self, size: int = 0) -> dict[str, float]:
        """How long a call may take, with all that the client tries by itself; a large object takes its time."""
        return {"timeout": self._access.timeout + size / _SLOW}

    @cached_property
    def files(self) -> Any:
        """The client of the service."""
        return self._connected()

    @abstractmethod
    def _connected(self) -> Any: ...


class S3(Cloud):
    """Keys come from the environment, from ``~/.aws``, or from a file of credentials under the name of the bucket."""

    def _connected(self) -> Any:
        access = self._access
        known = credentials.login([self._bucket], access) if access.credentials else None
        return self._module.S3FileSystem(
            key=known and known[0],
            secret=known and known[1],
            endpoint_url=access.endpoint,
            client_kwargs={"verify": str(access.ca)} if access.ca else {},
            config_kwargs={
                "connect_timeout": CONNECTING,
                "read_timeout": access.timeout,
                "retries": {"total_max_attempts": 1},  # s3fs tries five times itself
            },
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def holds(self, wanted: Object) -> bool | None:
        try:
            found = self.files.call_s3("head_object", Bucket=self._bucket, Key=self._key(wanted.name), **self._patience())
        except FileNotFoundError:
            return None
        if found["ContentLength"] != wanted.size:
            return False
        etag = found["ETag"].strip('"')
        parts, count = wanted.md5_of_parts if "-" in etag else (b"", 0)
        if etag in (wanted.md5.hex(), f"{parts.hex()}-{count}"):
            return True
        is_digest = len(etag) == _MD5 and "aws:kms" not in str(found.get("ServerSideEncryption"))
        return not is_digest and found.get("Metadata", {}).get("sha256") == wanted.sha256

    def put(self, new: Object) -> None:
        described = {"Metadata": {"sha256": new.sha256}, **self._patience(new.size)}
        if new.size < WHOLE:
            md5 = base64.b64encode(new.md5).decode()  # without which the service refuses what was damaged on its way
            self.files.pipe_file(self._path(new.name), new.path.read_bytes(), chunksize=PART, ContentMD5=md5, **described)
        else:
            self.files.put_file(str(new.path), self._path(new.name), chunksize=PART, **described)


class Google(Cloud):
    """Keys come as Google's own tools find them, or from a file of credentials that is a key of a service account."""

    def _connected(self) -> Any:
        key = self._access.credentials if credentials.is_json(self._access.credentials) else None
        anonymous = "anon" if os.environ.get("STORAGE_EMULATOR_HOST") else None
        return self._module.GCSFileSystem(
            token=str(key) if key else anonymous,
            endpoint_url=os.environ.get("STORAGE_EMULATOR_HOST"),
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def holds(self, wanted: Object) -> bool | None:
        try:
            found = self.files.info(self._path(wanted.name), **self._patience())
        except FileNotFoundError:
            return None
        if found.get("type") != "file":
            return None
        if "md5Hash" in found:
            return bool(found["size"] == wanted.size and base64.b64decode(found["md5Hash"]) == wanted.md5)
        return bool(found["size"] == wanted.size and found.get("metadata", {}).get("sha256") == wanted.sha256)

    def put(self, new: Object) -> None:
        described = {"metadata": {"sha256": new.sha256}, "chunksize": PART, **self._patience(new.size)}
        if new.size < WHOLE:
            self.files.pipe_file(self._path(new.name), new.path.read_bytes(), **described)
        else:
            self.files.put_file(str(new.path), self._path(new.name), **described)


class Azure(Cloud):
    """The account and its key come from the environment, as in ``AZURE_STORAGE_CONNECTION_STRING``."""

    def _connected(self) -> Any:
        seconds = max(1, round(self._access.timeout))
        return self._module.AzureBlobFileSystem(
            connection_timeout=CONNECTING,
            read_timeout=seconds,
            assume_container_exists=True,
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def holds(self, wanted: Object) -> bool | None:
        try:
            found = self.files.info(self._path(wanted.name), refresh=True, **self._patience())
        except FileNotFoundError:
            return None
        if found.get("type") != "file":
            return None
        md5 = (found.get("content_settings") or {}).get("content_md5")
        return bool(found["size"] == wanted.size and md5 is not None and bytes(md5) == wanted.md5)

    def put(self, new: Object) -> None:
        described = {
            "content_settings": {"content_md5": bytearray(new.md5)},
            "validate_content": True,
            **self._patience(new.size),
        }
        if new.size < WHOLE:
            self.files.pipe_file(self._path(new.name), new.path.read_bytes(), **described)
        else:
            self.files.put_file(str(new.path), self._path(new.name), **described)
