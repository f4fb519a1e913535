# What a developer types. `just ci` is what must pass before a change lands.

# The recipes.
default:
    @just --list

# Format everything.
fmt:
    cargo fmt

# Lints, on all features and on none.
lint:
    cargo clippy --all-targets -- -D warnings
    cargo clippy --all-targets --no-default-features -- -D warnings

# Everything that needs neither root nor a network.
test:
    cargo test

# The lab tests, as root: hosts of network namespaces and a real iptux. `just lab port` runs some.
lab FILTER="lab::":
    cargo build --release --bin feige
    cargo build --release --example lanload --example hostile
    cargo test --test suite --no-run
    sudo env "PATH=$PATH" "HOME=$HOME" LAB_FEIGE="$PWD/target/release/feige" cargo test --test suite -- --ignored --test-threads=1 --show-output {{FILTER}}

# Times and sizes from outside, in the lab, as root.
measure:
    cargo build --release --bin feige
    cargo build --release --examples
    sudo env "PATH=$PATH" tests/lab/measure.sh
    sudo env "PATH=$PATH" tests/lab/measure-files.sh

# What a running node calls, for the linker to lay it together; as root, with valgrind.
layout:
    CARGO_PROFILE_RELEASE_STRIP=none cargo build --locked --release --bin feige --target-dir target/layout
    sudo env "PATH=$PATH" FEIGE=target/layout/release/feige tests/lab/layout.sh

# Benches.
bench *ARGS:
    cargo bench {{ARGS}}

# A simulated subnet with loss and repeats; the same seed prints the same lines.
sim SEED="42":
    cargo run --example lan -- {{SEED}}

# Fuzz a reader (packet, attach, hosts, text, node); needs cargo-fuzz and a nightly toolchain.
fuzz TARGET SECONDS="60":
    cargo +nightly fuzz run {{TARGET}} -- -max_total_time={{SECONDS}}

# Which lines the tests reach; needs cargo-llvm-cov.
cover:
    cargo llvm-cov --html

# Licences, advisories and sources of the dependencies; needs cargo-deny.
deny:
    cargo deny check

# Everything CI does.
ci:
    .ci/run
