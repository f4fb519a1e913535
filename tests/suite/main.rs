//! The one integration test binary.

mod support;

mod crypto;
mod dialect;
mod feiq;
mod foreign;
#[cfg(target_os = "linux")]
mod hostile;
mod house;
mod lan;
mod laws;
mod node;
mod picture;
mod request;
mod sealed;
mod tree;
mod wire;

#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod demo;
#[cfg(feature = "cli")]
mod download;
#[cfg(feature = "cli")]
mod get;
#[cfg(feature = "cli")]
mod io;
#[cfg(feature = "cli")]
mod json;
#[cfg(feature = "cli")]
mod lab;
#[cfg(feature = "cli")]
mod store;
#[cfg(feature = "cli")]
mod store_history;
