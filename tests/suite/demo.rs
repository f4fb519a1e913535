//! The demonstration: real sockets, the real node, peers that check every byte.

use std::time::{Duration, Instant};

use assert_cmd::Command;

fn demo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_feige"));
    // Nothing of the user's may matter to it: not even that there is a home.
    command.env_clear().arg("demo").args(args).timeout(Duration::from_secs(60));
    command
}

#[test]
fn the_demonstration_needs_nothing_and_ends_well_in_under_ten_seconds() {
    #[expect(clippy::disallowed_methods, reason = "the promise is about the time on the wall")]
    let start = Instant::now();
    let done = demo(&[]).assert().success().stderr("");
    assert!(start.elapsed() < Duration::from_secs(10));
    let told = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    for words in [
        "你猜",
        "35_孙志成 (研发部)",
        "太郎",
        "山田太郎 (開発部)",
        "小明 (测试组)",
        "heard by all five.",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(told.matches("confirmed in").count(), 5, "{told}");
}

#[test]
fn the_demonstration_can_be_quiet_or_speak_json() {
    demo(&["--quiet"]).assert().success().stdout("").stderr("");
    let done = demo(&["--json"]).assert().success();
    let told = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    for line in told.lines() {
        let step: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(step["v"], 1);
        assert!(step["demo"].is_string());
    }
}
