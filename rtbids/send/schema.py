"""The tables of an outbox, in the words that SQLite and PostgreSQL share."""

from __future__ import annotations

import hmac
import secrets
import sqlite3
from contextlib import suppress

from rtbids.errors import InputMissing, UsageFault
from rtbids.send.database import Database, Transaction

VERSION = 2
# {serial}, {int}, {real}, {bytes}: types of columns in the database's own words. Times are POSIX seconds.
TABLES = """
CREATE TABLE owner (
    id {serial}, host TEXT NOT NULL, pid {int} NOT NULL, started {real} NOT NULL, beats {int} NOT NULL, paused TEXT,
    rules TEXT NOT NULL DEFAULT ''
);
CREATE TABLE destination (
    id {serial}, url TEXT NOT NULL UNIQUE, active {int} NOT NULL, refused {int} NOT NULL DEFAULT 0,
    sent {int} NOT NULL DEFAULT 0, bytes {int} NOT NULL DEFAULT 0, retries {int} NOT NULL DEFAULT 0,
    failures {int} NOT NULL DEFAULT 0, since {real}, due {real} NOT NULL DEFAULT 0, reason TEXT
);
CREATE TABLE batch (
    id {serial}, added {real} NOT NULL, changed {real} NOT NULL, state TEXT NOT NULL, images {int} NOT NULL,
    new {int} NOT NULL, processing {int} NOT NULL DEFAULT 0, doneprocessing {int} NOT NULL DEFAULT 0,
    sent {int} NOT NULL DEFAULT 0, done {int} NOT NULL DEFAULT 0, skipped {int} NOT NULL DEFAULT 0,
    error {int} NOT NULL DEFAULT 0,
    errors {int} NOT NULL DEFAULT 0, label TEXT, root {bytes}, spooled {int} NOT NULL, reason TEXT, cleaned {real},
    kept {int} NOT NULL DEFAULT 1, marked {int} NOT NULL DEFAULT 0, tidying {int}, tidy_due {real} NOT NULL DEFAULT 0
);
CREATE TABLE image (
    id {serial}, batch {int} NOT NULL REFERENCES batch, identity {bytes} NOT NULL, state TEXT NOT NULL,
    file {bytes}, size {int} NOT NULL, mtime_ns {int} NOT NULL, added {real} NOT NULL, changed {real} NOT NULL,
    owner {int}, tries {int} NOT NULL DEFAULT 0, first {real}, due {real} NOT NULL DEFAULT 0,
    fault TEXT, reason TEXT, failed_in TEXT, quarantine {bytes}, as_is {int} NOT NULL DEFAULT 0, same_as {int},
    dismissed {int} NOT NULL DEFAULT 0, rules TEXT, original {int} NOT NULL DEFAULT 0,
    clean TEXT, clean_size {int}, sha256 TEXT, instance_key {bytes}, sop_class TEXT, instance TEXT, series TEXT, study TEXT,
    patient TEXT, name TEXT, syntax TEXT
);
CREATE TABLE seen (identity {bytes} PRIMARY KEY);
CREATE TABLE instance (instance_key {bytes} PRIMARY KEY, image {int} NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE delivery (
    image {int} NOT NULL REFERENCES image, destination {int} NOT NULL REFERENCES destination, batch {int} NOT NULL,
    state TEXT NOT NULL, under_way {int} NOT NULL DEFAULT 0, owner {int}, tries {int} NOT NULL DEFAULT 0, first {real},
    due {real} NOT NULL DEFAULT 0, reason TEXT, sent {real}, PRIMARY KEY (image, destination)
);
CREATE TABLE transition (
    id {serial}, at {real} NOT NULL, batch {int} NOT NULL, image {int}, destination {int}, before TEXT, after TEXT NOT NULL,
    reason TEXT
);
CREATE TABLE day (
    day {int} NOT NULL, destination {int} NOT NULL REFERENCES destination, images {int} NOT NULL, bytes {int} NOT NULL,
    PRIMARY KEY (day, destination)
);
CREATE TABLE finished (id {int} PRIMARY KEY, batches {int} NOT NULL, seconds {real} NOT NULL);
INSERT INTO finished (id, batches, seconds) VALUES (1, 0, 0.0);
CREATE INDEX batch_state ON batch (state);
CREATE INDEX batch_tidy ON batch (state, errors, cleaned) WHERE state = 'DONE' AND errors = 0 AND cleaned IS NULL;
CREATE INDEX batch_cleaned ON batch (cleaned);
CREATE INDEX batch_tidying ON batch (tidying) WHERE tidying IS NOT NULL;
CREATE INDEX batch_errors ON batch (id) WHERE errors > 0;
CREATE INDEX image_batch ON image (batch, state);
CREATE INDEX image_state ON image (state, id);
CREATE INDEX image_rules ON image (rules) WHERE state = 'DONEPROCESSING';
CREATE INDEX image_owner ON image (owner) WHERE owner IS NOT NULL;
CREATE INDEX image_same ON image (same_as) WHERE same_as IS NOT NULL;
CREATE INDEX instance_image ON instance (image);
CREATE INDEX delivery_state ON delivery (destination, state, image);
CREATE INDEX delivery_due ON delivery (destination, due) WHERE due > 0;
CREATE INDEX delivery_owner ON delivery (owner) WHERE owner IS NOT NULL;
CREATE INDEX delivery_batch ON delivery (batch, destination);
CREATE INDEX transition_batch ON transition (batch);
"""


def prepare(database: Database, name: str) -> bytes:
    """Make the tables where there are none; return the outbox's own secret.

    Raises
    ------
    UsageFault
        The outbox is of another version of rtbids.
    """
    with database.writing() as transaction:
        transaction.rows(database.words["turn"])  # two that start at once make one set of tables
        transaction.rows("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        if not (found := dict(transaction.rows("SELECT name, value FROM meta"))):
            found = _make(transaction, database.words)
    return _secret(found, name)


def secret_of(database: Database, name: str) -> bytes:
    """Return the secret of an outbox that is only read; raises as `prepare`, or InputMissing where nothing was made yet."""
    found: dict[str, str] = {}
    with database.reading() as transaction, suppress(sqlite3.OperationalError):
        found = dict(transaction.rows("SELECT name, value FROM meta"))
    if not found:
        raise InputMissing(f"the outbox {name} is empty")
    return _secret(found, name)


def _secret(found: dict[str, str], name: str) -> bytes:
    if (version := int(found["version"])) != VERSION:
        told = "a newer" if version > VERSION else "an older"
        raise UsageFault(
            f"the outbox {name} was made by {told} rtbids (its tables are version {version}, here {VERSION})",
            "finish and purge it with that version, or take another folder",
        )
    return bytes.fromhex(found["secret"])


def _make(transaction: Transaction, words: dict[str, str]) -> dict[str, str]:
    for statement in TABLES.format(**words).strip().rstrip(";").split(";"):
        transaction.rows(statement)
    found = {"version": str(VERSION), "secret": secrets.token_hex(32)}
    transaction.each("INSERT INTO meta (name, value) VALUES (?, ?)", list(found.items()))
    return found


def check_key(database: Database, secret: bytes, fingerprint: str) -> None:
    """Write down with which key of de-identification an outbox begins; raise where it began with another."""
    known = hmac.digest(secret, fingerprint.encode(), "sha256").hex()
    with database.writing() as transaction:
        transaction.count("INSERT INTO meta (name, value) VALUES ('key', ?) ON CONFLICT DO NOTHING", (known,))
        [[first]] = transaction.rows("SELECT value FROM meta WHERE name = 'key'")
    if first != known:
        raise UsageFault(
            "the site's key is another than the one that this outbox began with: a patient would get a second number",
            "put its copy back; or give a new --outbox DIR where the key was changed on purpose",
        )
