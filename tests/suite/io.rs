//! Tests of io.
