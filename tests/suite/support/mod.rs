//! Helpers that several tests share.

pub(crate) mod feiq;
#[cfg(feature = "cli")]
pub(crate) mod fetcher;
#[cfg(feature = "cli")]
pub(crate) mod home;
#[cfg(feature = "cli")]
pub(crate) mod process;
#[cfg(feature = "cli")]
pub(crate) mod sender;
#[cfg(feature = "cli")]
pub(crate) mod stranger;
