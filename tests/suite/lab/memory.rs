//! What an idle node takes. The bound holds for the release build, which `.ci/run` names in
//! `LAB_FEIGE`.

use super::lan::Lab;
use super::wire::BR_ENTRY;

/// KiB. Each change of the code costs it a little until `src/link/node.ld` is made anew; without that
/// list it would be more than 9 MiB.
const IDLE_MAX: u64 = 6 << 10;

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn an_idle_node_alone_on_its_machine_stays_small() {
    let lab = Lab::up("1");
    let wire = lab.wire();
    let node = lab.feige("h1", &["node"]);
    // Some seconds later nothing is left to do.
    let first = wire.first(BR_ENTRY, "10.99.0.1").number();
    wire.seen
        .first("its second entry", |seen| seen.is(BR_ENTRY, "10.99.0.1") && seen.number() != first);
    let kib = node.program.kib("smaps_rollup", "Pss");
    println!("idle: {kib} KiB");
    assert!(kib <= IDLE_MAX, "{kib} KiB; tests/lab/layout.sh writes src/link/node.ld anew");
}
