//! Tests of node.
