//! Hostile datagrams for a node: an endless crowd of them, and the costliest ones there are.
//!
//! ```text
//! hostile memory [COUNT]       hand a node so many of a crowd; what its memory grew by
//! hostile slowest [PART]       hand a node the costliest datagrams; what each took
//! hostile flood ADDR [COUNT]   send so many of a crowd to a node
//! ```
//!
//! The node of the first two is the engine alone, in this process, with a clock driven by hand.

mod crowd;
mod flood;
mod memory;
mod node;
mod worst;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["memory"] => memory::main(1_000_000),
        ["memory", count] => memory::main(count.parse().expect("a number")),
        ["flood", to] => flood::main(to, 1_000_000),
        ["flood", to, count] => flood::main(to, count.parse().expect("a number")),
        ["slowest"] => worst::main(""),
        ["slowest", part] => worst::main(part),
        _ => {
            eprintln!("hostile memory [COUNT] | slowest [PART] | flood ADDR [COUNT]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
