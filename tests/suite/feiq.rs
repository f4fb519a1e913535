//! FeiQ offices: the simulated FeiQ against itself, so that what it says of us can be trusted.

use std::net::SocketAddr;

use crate::support::feiq::{Feiq, Out, Shown, To};

/// A few `FeiQ`s on one subnet, every datagram delivered at once.
struct Office(Vec<(SocketAddr, Feiq)>);

impl Office {
    fn of(nicks: &[&str]) -> Self {
        let mut office = Self(Vec::new());
        for (host, nick) in (1u8..).zip(nicks) {
            let at = SocketAddr::from(([10, 0, 0, host], 2425));
            office.0.push((at, Feiq::new(nick, &format!("0800270904{host:02X}"))));
        }
        for who in 0..nicks.len() {
            office.act(who, Feiq::start);
        }
        office
    }

    fn at(&self, who: usize) -> SocketAddr {
        self.0[who].0
    }

    fn shown(&self, who: usize) -> &[Shown] {
        &self.0[who].1.shown
    }

    /// One of them does something, and everything that follows happens.
    fn act(&mut self, who: usize, act: impl FnOnce(&mut Feiq) -> Out) {
        let (from, feiq) = &mut self.0[who];
        let mut queue: Vec<_> =
            act(feiq).into_iter().map(|(to, bytes)| (*from, to, bytes)).collect();
        while !queue.is_empty() {
            let (from, to, bytes) = queue.remove(0);
            for (at, feiq) in &mut self.0 {
                if to == To::One(*at) || (!matches!(to, To::One(_)) && *at != from) {
                    let out = feiq.hear(from, &bytes);
                    queue.extend(out.into_iter().map(|(to, bytes)| (*at, to, bytes)));
                }
            }
        }
    }
}

#[test]
fn simulated_feiqs_see_each_other_and_talk() {
    let mut office = Office::of(&["王小明", "Li"]);
    let (wang, li) = (office.at(0), office.at(1));
    let contact =
        |at, nick: &str| Shown::Contact { at, nick: nick.into(), group: "测试组".into() };
    assert_eq!(office.shown(0), [contact(li, "Li")]);
    assert_eq!(office.shown(1), [contact(wang, "王小明")]);
    assert!(office.0[0].1.contacts[&li].family);

    // Both announce encryption, so this asks for a key first.
    office.act(0, |feiq| feiq.say(li, "下班一起吃饭？ {ok;}"));
    let text = "下班一起吃饭？ {ok;}".to_owned();
    assert_eq!(office.shown(1)[1..], [Shown::Text { at: wang, text, encrypted: true }]);
    assert!(matches!(office.shown(0), [_, Shown::Confirmed { .. }]));
    assert!(office.0[0].1.repeat().is_empty());

    office.act(1, |feiq| feiq.knock(wang));
    office.act(1, |feiq| feiq.probe(wang));
    office.act(1, |feiq| feiq.typing(wang, true));
    office.act(1, |feiq| feiq.typing(wang, false));
    let typing = |typing| Shown::Typing { at: li, typing };
    assert_eq!(office.shown(0)[2..], [Shown::Shake { at: li }, typing(true), typing(false)]);
    assert_eq!(office.shown(1)[2..], [Shown::Shaken { at: wang }, Shown::Probed { at: wang }]);

    office.act(0, |feiq| feiq.join_group("b4cc80e4", "开发群"));
    office.act(0, |feiq| feiq.say_to_group("b4cc80e4", "大家好"));
    let (group, text) = ("b4cc80e4".to_owned(), "大家好".to_owned());
    assert_eq!(office.shown(1)[4..], [Shown::Group { at: wang, group, text }]);

    office.act(0, Feiq::exit);
    assert_eq!(office.shown(1).last(), Some(&Shown::Gone { at: wang }));
}

#[test]
fn simulated_feiqs_repeat_what_is_not_confirmed_and_show_it_once() {
    let mut office = Office::of(&["Wang", "Li"]);
    let (wang, li) = (office.at(0), office.at(1));
    let body = crate::support::feiq::text::with_font("hello");
    let (number, out) = office.0[0].1.post(li, 288, &body);
    assert_eq!(office.0[0].1.repeat(), out);
    // The receipt is lost: it comes from an address of which nobody knows.
    office.0[1].1.hear(wang, &out[0].1);
    office.act(0, |feiq| feiq.repeat());
    let shown = Shown::Text { at: wang, text: "hello".into(), encrypted: false };
    assert_eq!(office.shown(1)[1..], [shown]);
    assert_eq!(office.shown(0)[1..], [Shown::Confirmed { number }]);
    assert_eq!(office.0[1].1.heard.len(), 5, "a start, an answer, the text twice");
}

#[cfg(feature = "cli")]
#[test]
fn simulated_feiqs_meet_on_real_sockets() {
    use std::net::Ipv4Addr;

    use crate::support::feiq::program::Program;
    use feige::io::lab::free_port;

    let port = free_port().unwrap();
    let start = |nick, host| {
        let feiq = Feiq::new(nick, &format!("0800270905{host:02X}"));
        Program::on_loopback(feiq, Ipv4Addr::new(127, 81, 0, host), port)
    };
    let (wang, li) = (start("王", 1), start("Li", 2));
    let at = wang.contact("Li");
    wang.act(|feiq| feiq.say_to_group("1", "群里好"));
    li.wait("group message", |shown| matches!(shown, Shown::Group { .. }).then_some(()));
    wang.act(|feiq| feiq.knock(at));
    li.wait("knock", |shown| matches!(shown, Shown::Shake { .. }).then_some(()));
    li.until("heard", |feiq| (feiq.heard.len() >= 2).then_some(()));
}
