//! Placeholder root of the connection layer; replaced by its author.
