//! A node that hears a sequence of datagrams from a few addresses: it takes them all, and answers
//! nobody who did not earn it.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {});
