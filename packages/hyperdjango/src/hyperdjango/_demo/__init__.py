"""`hyper demo`: a tour of the stack on a real server, with what each step did and how long it took."""

from hyperdjango._demo.tour import run_demo

__all__ = ["run_demo"]
