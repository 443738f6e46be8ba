"""What travels on a stream, and (in `codecs`) how it is written as bytes."""

from si_stream.messages.kinds import Boundary, Dtype, End, Message, Role, Samples, SampleSchema

__all__ = ["Boundary", "Dtype", "End", "Message", "Role", "SampleSchema", "Samples"]
