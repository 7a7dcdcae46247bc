//! Placeholder root of the net layer; replaced by its author.
