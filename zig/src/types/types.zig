//! Placeholder root of the types layer; replaced by its author.
