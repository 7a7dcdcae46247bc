//! The two error sets of this layer. A decoder's errors are the backend's fault, an encoder's
//! are the caller's value; neither is ever an assertion.
const protocol = @import("protocol");

pub const DecodeError = error{
    /// The bytes are not the type's binary form: wrong length, bad flag, count beyond the bytes.
    InvalidValue,
    /// Well formed, but outside what the type holds.
    OutOfRange,
};

pub const EncodeError = protocol.WriteBuffer.Error || DecodeError;
