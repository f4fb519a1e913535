//! The core of feige, a LAN messenger that speaks IPMsg and FeiQ.

pub mod crypto;
pub mod node;
pub mod sim;

pub mod wire;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod io;
#[cfg(feature = "cli")]
pub mod store;
#[cfg(feature = "cli")]
pub mod term;
