"""The bookstore of the end-to-end vectors.

Source: envoyproxy/envoy test/proto/bookstore.proto @ 05d596a75eb1ebed2580c855200ee4c8aa1a9cb9.
"""

from __future__ import annotations

from functools import lru_cache

from google.protobuf.descriptor_pool import DescriptorPool

from tests.vectors.transcoding.schema import Schema

SERVICE = "bookstore.Bookstore"


@lru_cache(maxsize=1)
def pool() -> DescriptorPool:
    """A pool with the bookstore."""
    empty, body = "google.protobuf.Empty", "google.api.HttpBody"
    schema = Schema("bookstore")
    schema.message("Shelf", {"id": "int64", "theme": "string"})
    schema.message(
        "Book", {"id": "int64", "author": "string", "title": "string", "quotes": "repeated string"}
    )
    schema.message("ListShelvesResponse", {"shelves": "repeated Shelf"})
    schema.message("CreateShelfRequest", {"shelf": "Shelf"})
    schema.message("GetShelfRequest", {"shelf": "int64"})
    schema.message("ListBooksRequest", {"shelf": "int64"})
    schema.message("CreateBookRequest", {"shelf": "int64", "book": "Book"})
    schema.message("UpdateBookRequest", {"shelf": "int64", "book": "Book"})
    schema.message("DeleteBookRequest", {"shelf": "int64", "book": "int64"})
    schema.message("Nested", {"content": body})
    schema.message("EchoBodyRequest", {"arg": "string", "nested": "Nested"})
    schema.message("EchoStructReqResp", {"content": "google.protobuf.Struct"})
    both, out = (True, True), (False, True)
    for name, request, reply, rule, streams in (
        ("ListShelves", empty, "ListShelvesResponse", {"get": "/shelves"}, None),
        ("CreateShelf", "CreateShelfRequest", "Shelf", {"post": "/shelf", "body": "shelf"}, None),
        (
            "BulkCreateShelf",
            "CreateShelfRequest",
            "Shelf",
            {"post": "/bulk/shelves", "body": "shelf"},
            both,
        ),
        ("GetShelf", "GetShelfRequest", "Shelf", {"get": "/shelves/{shelf}"}, None),
        (
            "BookstoreOptions",
            "GetShelfRequest",
            empty,
            {"custom": {"kind": "OPTIONS", "path": "/shelves/{shelf}"}},
            None,
        ),
        ("ListBooks", "ListBooksRequest", "Book", {"get": "/shelves/{shelf}/books"}, out),
        ("CreateBook", "CreateBookRequest", "Book", {"put": "/shelves/{shelf}/books", "body": "book"}, None),
        (
            "UpdateBook",
            "UpdateBookRequest",
            "Book",
            {"patch": "/shelves/{shelf}/books/{book.id}", "body": "book"},
            None,
        ),
        ("DeleteBook", "DeleteBookRequest", empty, {"delete": "/shelves/{shelf}/books/{book}"}, None),
        ("GetIndex", empty, body, {"get": "/index"}, None),
        ("IndexStream", empty, body, {"get": "/indexStream"}, out),
        ("EchoBody", "EchoBodyRequest", body, {"post": "/echoBody", "body": "nested.content"}, None),
        (
            "EchoStruct",
            "EchoStructReqResp",
            "EchoStructReqResp",
            {"post": "/echoStruct", "body": "content"},
            None,
        ),
    ):
        schema.method("Bookstore", name, request, reply, rule, streams=streams or (False, False))
    return schema.build()
