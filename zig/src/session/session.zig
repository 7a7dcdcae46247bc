//! Placeholder root of the session layer; replaced by its author.
