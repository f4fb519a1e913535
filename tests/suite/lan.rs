//! Tests of lan.
