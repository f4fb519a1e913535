//! The real program on a real network: hosts, links and a router made of network namespaces, and
//! a real iptux among them. `tests/lab/lab.sh` builds the network, `tests/lab/iptux.sh` drives
//! iptux; both can be used by hand.
//!
//! The tests need root, the release program and the load generators, and are ignored unless asked
//! for: `just lab` builds all of it and runs them, `just lab port` some of them.

mod disk;
mod feiq;
mod files;
mod heard;
mod hostile;
mod iptux;
mod lan;
mod load;
mod memory;
mod moving;
mod office;
mod pictures;
mod port;
mod wire;
