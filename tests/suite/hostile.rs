//! What a crowd of hostile datagrams leaves behind in memory (`examples/hostile`). A million of
//! them are for the release build, in the lab.

use std::env;
use std::process::Command;

#[path = "../../examples/hostile/crowd.rs"]
mod crowd;
#[path = "../../examples/hostile/memory.rs"]
#[expect(dead_code, reason = "the example prints what it measured")]
mod memory;
#[path = "../../examples/hostile/node.rs"]
mod node;

use memory::Grown;

/// Set in the process that measures itself: other tests run in this one.
const ALONE: &str = "FEIGE_TEST_HOSTILE_ALONE";
/// So many take seconds in a debug build, and fill the list of peers.
const DATAGRAMS: u64 = 20_000;
const GROWN_MAX_KIB: u64 = 32 << 10;

#[test]
fn twenty_thousand_hostile_datagrams_leave_less_than_32_mib_in_memory() {
    if env::var_os(ALONE).is_some() {
        let Grown { peak_kib, left_kib } = memory::measure(DATAGRAMS);
        assert!(peak_kib < GROWN_MAX_KIB, "at most {peak_kib} KiB, {left_kib} at the end");
        return;
    }
    let name = "hostile::twenty_thousand_hostile_datagrams_leave_less_than_32_mib_in_memory";
    let mut command = Command::new(env::current_exe().expect("it runs"));
    let done = command.args(["--exact", name]).env(ALONE, "1").output().expect("it starts");
    let out = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && out.contains("1 passed"), "{out}");
}
