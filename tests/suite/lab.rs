//! The real program on a real network: hosts, links and a router made of network namespaces, and
//! a real iptux among them. `tests/lab/lab.sh` builds the network, `tests/lab/iptux.sh` drives
//! iptux; both can be used by hand.
//!
//! The tests need root and are ignored unless asked for:
//! `sudo -E env PATH="$PATH" cargo test --test suite -- --ignored --test-threads=1 lab::`

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
