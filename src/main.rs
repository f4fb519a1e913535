//! feige.
fn main() {}
