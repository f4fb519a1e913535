//! How a person or a program uses it.

pub mod error;
pub mod pick;
