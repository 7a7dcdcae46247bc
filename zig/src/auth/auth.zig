//! Placeholder root of the auth layer; replaced by its author.
