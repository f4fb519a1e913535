//! What a crowd leaves behind in memory.

use std::time::Duration;

use super::crowd::Crowd;
use super::node::Target;

/// What a node's memory grew by, KiB: the most it was, and at the end.
pub(crate) struct Grown {
    pub(crate) peak_kib: u64,
    pub(crate) left_kib: u64,
}

/// Hands a node so many datagrams of a crowd, some 20,000 in a second of its clock.
pub(crate) fn measure(count: u64) -> Grown {
    let mut target = Target::new(|_| {});
    let mut crowd = Crowd::new(1);
    let idle = resident_kib("VmRSS");
    for _ in 0..count {
        target.hear(&crowd.next());
        target.pass(Duration::from_micros(50));
    }
    let grown = |field| resident_kib(field).saturating_sub(idle);
    Grown { peak_kib: grown("VmHWM"), left_kib: grown("VmRSS") }
}

pub(crate) fn main(count: u64) {
    let Grown { peak_kib, left_kib } = measure(count);
    println!(r#"{{"datagrams":{count},"peak_kib":{peak_kib},"left_kib":{left_kib}}}"#);
}

/// A line of this process's status, KiB.
fn resident_kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse().ok()).expect("a number of KiB")
}
