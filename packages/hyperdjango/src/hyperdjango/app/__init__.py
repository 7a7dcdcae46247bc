"""HyperApp, the application: Starlette with a database in it. docs/hyperapp.md tells how to use it."""

from hyperdjango.app._answers import JSONBytes
from hyperdjango.app._application import HyperApp
from hyperdjango.app._body import BodyError
from hyperdjango.app._json import NotJSON, to_json
from hyperdjango.app._request import Request

__all__ = ["BodyError", "HyperApp", "JSONBytes", "NotJSON", "Request", "to_json"]
