//! Lays what a running node uses side by side in the released program (`docs/adr/0008`).

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=src/link");
    let is = |name, value: &str| env::var(name).is_ok_and(|found| found == value);
    let released = is("PROFILE", "release");
    let known_target = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    if released && known_target && !linker_was_chosen() {
        let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        // Not by -Wl, which ends a path at its first comma.
        println!("cargo::rustc-link-arg-bins=-T{folder}/src/link/node.ld");
    }
}

/// Whether the user links with something of his own, which may not know such a script.
fn linker_was_chosen() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    env::var_os("RUSTC_LINKER").is_some() || flags.contains("link")
}
