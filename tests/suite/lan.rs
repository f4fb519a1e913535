//! Whole subnets in memory: many nodes, loss, repeats, reordering.

use std::time::Duration;

use feige::node::{Event, Reply};
use feige::sim::Lan;

#[test]
fn two_nodes_find_each_other_and_confirm_a_message() {
    let mut lan = Lan::new(1);
    let (alice, bob) = (lan.host("alice"), lan.host("bob"));
    lan.run_for(Duration::from_secs(5));
    let reply = lan.send(alice, &["bob"], "你好 🙂", Duration::from_secs(30));
    let Reply::Sent { number, .. } = reply else { panic!("{reply:?}") };
    assert!(lan.run_to_quiet(lan.now() + Duration::from_secs(60)));
    let confirmed = lan.events(alice).iter().any(
        |(_, event)| matches!(event, Event::Receipt { number: of, tries: 1, .. } if *of == number),
    );
    assert!(confirmed, "{:?}", lan.events(alice));
    let texts: Vec<&str> = lan
        .events(bob)
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Message(message) => Some(message.text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(texts, ["你好 🙂"]);
}
