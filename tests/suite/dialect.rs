//! Tests of dialect.
