//! What a node writes into its log, and what not.

use rustix::process::Signal;

use super::lan::up_by_status;
use crate::support::home::Lan;

#[test]
fn what_was_said_is_not_logged_even_with_more_detail() {
    let lan = Lan::new();
    let home = lan.home("alice");
    let mut client = lan.stranger();
    let mut node = home.start(&["-vv", "node"]);
    up_by_status(&home);
    client.send(b"1:1:bob:pc:1:bob\0", home.addr);
    client.expect(3);
    client.send(b"1:2:bob:pc:288:the password is 4711\0", home.addr);
    client.expect(0x21);
    let send = home.start(&["send", "bob", "the answer is 4712"]);
    let number = client.expect_number(0x20);
    client.send(format!("1:3:bob:pc:33:{number}\0").as_bytes(), home.addr);
    send.out.line("confirmed");
    home.run(&["away", "back at 4713"]).code(0);
    node.signal(Signal::INT);
    assert_eq!(node.exit(), Some(130));
    let log = home.read("state/feige/feige.log");
    assert!(log.contains("receive buffer"), "it is the log: {log}");
    for secret in ["4711", "4712", "4713"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
