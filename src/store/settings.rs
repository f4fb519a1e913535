//! The settings: defaults, under the office's file, under the user's file, under `FEIGE_*`
//! variables, under flags; each value knows where it came from.
