//! Links, addresses, routes: what a LAN does to a host.

use std::time::Duration;

use super::lan::{Feige, Lab};

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_host_without_a_default_route_still_reaches_its_subnet() {
    let lab = Lab::up("3");
    lab.ip("h3", "route del default");
    let [one, two, three] = people(&lab, ["h1", "h2", "h3"]);
    for feige in [&one, &two] {
        feige.meets("h3");
    }
    three.meets("h1");
    three.meets("h2");
    lab.run("h3", &["broadcast", "开会"]).succeeds();
    one.reads("开会");
    two.reads("开会");
    lab.run("h3", &["send", "h1", "谢谢"]).succeeds();
    lab.run("h1", &["send", "h3", "目录"]).succeeds();
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_host_with_two_links_appears_once() {
    let lab = Lab::up("1 --far 1 --multi 2");
    let [near, far, left, right] = people(&lab, ["h1", "f1", "m1", "m2"]);
    for (feige, others) in [
        (&near, &["m1", "m2"][..]),
        (&far, &["m1", "m2"]),
        (&left, &["h1", "f1", "m2"]),
        (&right, &["h1", "f1", "m1"]),
    ] {
        for other in others {
            feige.meets(other);
        }
    }
    lab.run("m1", &["broadcast", "两边都听见"]).succeeds();
    for feige in [&near, &far, &right] {
        feige.reads("两边都听见");
    }
    lab.run("m1", &["send", "m2", "谢谢"]).succeeds();
    // Both links carry everything of m1 to m2 twice: it is one peer and one text all the same.
    right.reads("谢谢");
    assert_eq!(right.texts(), ["两边都听见", "谢谢"]);
    for (host, others) in [
        ("h1", &["m1", "m2"][..]),
        ("f1", &["m1", "m2"]),
        ("m1", &["f1", "h1", "m2"]),
        ("m2", &["f1", "h1", "m1"]),
    ] {
        assert_eq!(nicks(&lab, host), others, "what {host} sees");
    }
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_change_of_address_is_followed_within_five_seconds() {
    let lab = Lab::up("2");
    let [one, two] = people(&lab, ["h1", "h2"]);
    let before = one.meets("h2");
    two.meets("h1");
    // What a new lease does: the old address goes, and the routes with it.
    lab.ip("h2", "addr del 10.99.0.2/24 dev eth0");
    lab.ip("h2", "addr add 10.99.0.77/24 brd + dev eth0");
    lab.ip("h2", "route replace default dev eth0");
    let after = one.events.wait_within(Duration::from_secs(5), "the new address", |events| {
        events.iter().find(|event| event["peer"]["addr"] == "10.99.0.77").cloned()
    });
    assert_eq!(after["peer"]["id"], before["id"], "the same person");
    lab.run("h1", &["send", "h2", "搬好了吗"]).succeeds();
    two.reads("搬好了吗");
    lab.run("h2", &["send", "h1", "搬好了"]).succeeds();
    assert_eq!(nicks(&lab, "h1"), ["h2"]);
    assert_eq!(nicks(&lab, "h2"), ["h1"]);
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_link_that_comes_late_is_used() {
    let lab = Lab::up("2");
    lab.ip("h2", "link set eth0 down");
    let [one, two] = people(&lab, ["h1", "h2"]);
    lab.ip("h2", "link set eth0 up");
    lab.ip("h2", "route replace default dev eth0");
    let within = Duration::from_secs(5) + ANSWER_DELAY;
    one.events.wait_within(within, "h2", |events| {
        events.iter().find(|e| e["peer"]["nick"] == "h2").cloned()
    });
    two.meets("h1");
    lab.run("h1", &["send", "h2", "谢谢"]).succeeds();
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_cable_that_was_out_is_announced_on_when_it_is_back() {
    let lab = Lab::up("3");
    let [one, two] = people(&lab, ["h1", "h2"]);
    one.meets("h2");
    two.meets("h1");
    // The addresses stay where they are, at the other end of each cable.
    let cable = |host: &str, state: &str| lab.ip("sw", &format!("link set {host}eth0 {state}"));
    let told = |what: &str| {
        two.events.wait_within(NOTICED, what, |events| {
            events.iter().find(|e| e["code"] == "links" && e["text"] == what).cloned()
        })
    };
    cable("h1", "down");
    let send = lab.feige("h2", &["send", "h1", "--timeout", "50s", "--", "还在吗"]);
    send.event("message", |event| event["text"] == "还在吗");
    cable("h2", "down");
    told("eth0 went");
    let config = lab.run("h2", &["config"]).succeeds();
    let listed = config.out.lines().find(|line| line.starts_with("link  eth0"));
    assert!(listed.is_some_and(|line| line.ends_with("left out (down)")), "{config:?}");
    lab.settle("h3", "h3", "", "");
    let three = lab.feige("h3", &["listen"]);
    cable("h1", "up");
    cable("h2", "up");
    told("eth0 came");
    three.events.wait_within(NOTICED, "h2", |events| {
        events.iter().find(|e| e["peer"]["nick"] == "h2").cloned()
    });
    two.meets("h3");
    // What was being sent goes on, and nobody was taken for gone.
    one.reads("还在吗");
    send.event("receipt", |event| event["peer"]["nick"] == "h1");
    for feige in [&one, &two] {
        let gone = feige.events.all().into_iter().find(|event| event["event"] == "peer_down");
        assert_eq!(gone, None);
    }
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn hosts_without_ipv4_see_each_other_by_their_link_local_addresses() {
    let lab = Lab::up("2");
    for host in ["h1", "h2"] {
        lab.ip(host, "-4 addr flush dev eth0");
    }
    let [one, two] = people(&lab, ["h1", "h2"]);
    let met = one.meets("h2");
    assert!(met["addr"].as_str().is_some_and(|addr| addr.starts_with("fe80:")), "{met}");
    two.meets("h1");
    lab.run("h1", &["broadcast", "开会"]).succeeds();
    two.reads("开会");
    lab.run("h2", &["send", "h1", "谢谢"]).succeeds();
    one.reads("谢谢");
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn what_cannot_be_reached_is_told_and_disturbs_nobody() {
    let lab = Lab::up("3");
    let [one, two] = people(&lab, ["h1", "h2"]);
    one.meets("h2");
    two.meets("h1");
    // Nobody answers for the first address, nothing listens at the second.
    let args = ["--json", "send", "10.99.0.77", "10.99.0.3", "h2", "--timeout", "8s", "--", "在吗"];
    let done = lab.run("h1", &args);
    assert_eq!(done.code, Some(1), "{done:?}");
    let hint = |addr: &str| {
        let ends = done.lines().into_iter().filter(|line| line["peer"]["addr"] == addr);
        ends.filter_map(|line| line["hint"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(hint("10.99.0.77"), ["host_unreachable"]);
    assert_eq!(hint("10.99.0.3"), ["port_unreachable"]);
    let receipt = done.lines().into_iter().find(|line| line["event"] == "receipt");
    assert_eq!(receipt.expect("h2 confirms")["tries"], 1);
    two.reads("在吗");
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn what_has_no_way_out_is_not_sent() {
    let lab = Lab::up("1");
    lab.ip("h1", "route del default");
    let done = lab.run("h1", &["--json", "send", "192.0.2.1", "--timeout", "2s", "--", "在吗"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let end = done.lines().into_iter().find(|line| line["event"] == "failed").expect("it ends");
    assert_eq!((&end["outcome"], &end["tries"]), (&"not_sent".into(), &0.into()));
    assert_eq!(end["hint"], "host_unreachable");
    let done = lab.run("h1", &["send", "192.0.2.1", "--timeout", "2s", "--", "在吗"]);
    assert!(done.out.contains("not sent: that host cannot be reached"), "{done:?}");
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn without_a_network_commands_say_so_and_a_listener_waits() {
    let lab = Lab::up("2");
    lab.ip("h1", "link set eth0 down");
    let broadcast = ["broadcast", "开会"];
    let by_addr = ["send", "10.99.0.2", "--timeout", "2s", "--", "在吗"];
    let by_name = ["send", "h2", "--timeout", "2s", "--", "在吗"];
    let say_so = |node: &str| {
        for args in [&["peers"][..], &broadcast, &by_addr, &by_name] {
            let done = lab.run("h1", args);
            assert_eq!(done.code, Some(4), "{node}: {args:?}: {done:?}");
            assert!(done.talk.contains("no network link is up"), "{args:?}: {done:?}");
            let sends = args[0] != "peers" && args != by_name;
            assert_eq!(done.talk.contains("not sent"), sends, "{args:?}: {done:?}");
            assert_eq!(done.out, "");
        }
    };
    say_so("each command is the node");
    let [one, two] = people(&lab, ["h1", "h2"]);
    let missing = "no network link is up; this goes on when one comes";
    one.event("notice", |event| event["text"] == missing);
    say_so("the listener is the node");
    lab.ip("h1", "link set eth0 up");
    lab.ip("h1", "route replace default dev eth0");
    two.meets("h1");
    one.meets("h2");
    lab.run("h1", &broadcast).succeeds();
    two.reads("开会");
    let events = one.events.all();
    let told = events.iter().filter(|event| event["text"] == missing).count();
    assert_eq!(told, 1);
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_far_host_is_reached_by_its_address_in_the_settings() {
    far_subnet("2 --far 2", r#"networks = ["10.99.1.1"]"#, &["f1"]);
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_far_subnet_is_reached_by_a_range_in_the_settings() {
    far_subnet("2 --far 2", r#"networks = ["10.99.1.1-10.99.1.9"]"#, &["f1", "f2"]);
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_far_subnet_is_reached_by_its_directed_broadcast_where_the_router_passes_it() {
    far_subnet("2 --far 2 --bc-forward", r#"networks = ["10.99.1.255"]"#, &["f1", "f2"]);
}

/// h1 has this in its settings and meets `far`; h2 has not and does not.
fn far_subnet(lab: &str, settings: &str, far: &[&str]) {
    let lab = Lab::up(lab);
    for host in ["h1", "h2", "f1", "f2"] {
        lab.settle(host, host, "", if host == "h1" { settings } else { "" });
    }
    let [_two, f1, f2] = ["h2", "f1", "f2"].map(|host| lab.feige(host, &["listen"]));
    let one = lab.feige("h1", &["listen"]);
    one.meets("h2");
    for host in far {
        one.meets(host);
        let there = if *host == "f1" { &f1 } else { &f2 };
        there.meets("h1");
        lab.run("h1", &["send", host, "隔着路由器"]).succeeds();
        there.reads("隔着路由器");
        lab.run(host, &["send", "h1", &format!("{host} 收到")]).succeeds();
        one.reads(&format!("{host} 收到"));
    }
    assert_eq!(nicks(&lab, "h2"), ["h1"]);
}

/// Within this time a change of the links is noticed.
const NOTICED: Duration = Duration::from_secs(5);

/// Answers to an entry are spread over about a second in a small office.
const ANSWER_DELAY: Duration = Duration::from_millis(1_100);

/// `feige listen` on each host, under its name.
fn people<const N: usize>(lab: &Lab, hosts: [&str; N]) -> [Feige; N] {
    hosts.map(|host| {
        lab.settle(host, host, "", "");
        lab.feige(host, &["listen"])
    })
}

fn nicks(lab: &Lab, host: &str) -> Vec<String> {
    let peers = lab.peers(host);
    let mut nicks: Vec<String> =
        peers.iter().filter_map(|peer| Some(peer["nick"].as_str()?.into())).collect();
    nicks.sort();
    nicks
}
