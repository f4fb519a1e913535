//! `docs/json.md` says what the types say: every variant and every field is described, and nothing
//! is described that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use feige::node::{
    Alias, Bounce, Charset, Counters, Delivery, Direction, DownReason, Event, Extras, FileChoice,
    FilesOf, Font, Get, GroupRef, GroupView, Ipv4Net, ItemKind, ItemState, ItemView, Link, LinkId,
    MessageEvent, NoticeCode, OfferId, OfferView, Outcome, PacketNo, PeerId, PeerView, Pick,
    PictureEvent, PictureFacts, PictureFormat, Progress, Recipient, Refusal, Reply, Request,
    SeenPeer, ShellStatus, Side, Status, Sure, Target, Told, TransferOutcome, TransferProblem,
    Transferred, UnixMillis, Waiting, WaitingState, Wishes,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// What the page describes: for each heading (``event `peer_up` ``) the keys of its table.
pub(crate) struct Page(BTreeMap<String, BTreeSet<String>>);

impl Page {
    pub(crate) fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md");
        let text = std::fs::read_to_string(path).expect("docs/json.md is there");
        let mut sections = BTreeMap::new();
        let mut heading = String::new();
        for line in text.lines() {
            if let Some(title) = line.strip_prefix('#') {
                title.trim_start_matches('#').trim().clone_into(&mut heading);
                if heading.ends_with('`') {
                    sections.insert(heading.clone(), BTreeSet::new());
                }
            } else if let Some(key) = line.strip_prefix("| `") {
                let (key, _) = key.split_once('`').expect("a key ends");
                if let Some(keys) = sections.get_mut(&heading) {
                    assert!(keys.insert(key.to_owned()), "{heading} describes {key} twice");
                }
            }
        }
        Self(sections)
    }

    pub(crate) fn keys(&self, kind: &str, name: &str) -> BTreeSet<String> {
        let heading = format!("{kind} `{name}`");
        self.0.get(&heading).unwrap_or_else(|| panic!("docs/json.md has no {heading}")).clone()
    }

    /// Names described under headings of this kind.
    fn names(&self, kind: &str) -> BTreeSet<String> {
        let name = |heading: &String| {
            let name = heading.strip_prefix(kind)?.trim().trim_matches('`');
            Some(name.to_owned())
        };
        self.0.keys().filter_map(name).collect()
    }

    /// `object` has exactly the keys described, and so has what is nested in it.
    pub(crate) fn describes(&self, kind: &str, name: &str, object: &Map<String, Value>) {
        let keys: BTreeSet<_> = object.keys().cloned().collect();
        assert_eq!(self.keys(kind, name), keys, "{kind} `{name}`: described, and there");
        self.describes_inside(object);
    }

    /// `object` has no key that is not described.
    pub(crate) fn allows(&self, kind: &str, name: &str, object: &Map<String, Value>) {
        let described = self.keys(kind, name);
        for key in object.keys() {
            assert!(described.contains(key), "{kind} `{name}` does not describe {key}");
        }
    }

    fn describes_inside(&self, object: &Map<String, Value>) {
        for (key, value) in object {
            let (kind, name) = match key.as_str() {
                "offers" => ("event", "offer"),
                "transfers" => ("event", "progress"),
                name => ("object", name),
            };
            let name = match name {
                "items" => "item",
                "groups" => "group",
                "peers" | "to" | "without" | "blocks" | "absent" => "peer",
                "links" => "link",
                "v4" => "net",
                "files" => "file",
                "choices" => "choice",
                "hosts" => "listed",
                "aliases" => "alias",
                "recipients" => "recipient",
                "results" => "result",
                other => other,
            };
            let inner = match value {
                Value::Array(items) => items.as_slice(),
                other => std::slice::from_ref(other),
            };
            for object in inner.iter().filter_map(Value::as_object) {
                // In a request a peer is `{"peer": ID}` or `{"addr": ADDRESS}`, an item
                // `{"offer": ...}`, `{"wire": ...}` or `{"from": ID}`.
                let named = matches!(key.as_str(), "to" | "target" | "peer" | "picks");
                if key == "message" {
                    self.describes("event", name, object);
                } else if !named || object.len() > 1 {
                    self.describes(kind, name, object);
                }
            }
        }
    }
}

/// The names of all variants of an enum, from what serde says of one that does not exist.
fn variants<T: DeserializeOwned>(tag: Option<&str>) -> BTreeSet<String> {
    let bogus = match tag {
        Some(tag) => json!({ tag: "?" }),
        None => json!("?"),
    };
    let error = serde_json::from_value::<T>(bogus).err().expect("no such variant").to_string();
    let (_, expected) = error.split_once("expected ").expect("serde lists the variants");
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every variant of a tagged enum has an example here and a description there, with the same keys.
fn check<T: Serialize + DeserializeOwned>(kind: &str, examples: &[T]) {
    let page = Page::read();
    let mut seen = BTreeSet::new();
    for example in examples {
        let Value::Object(mut object) = serde_json::to_value(example).expect("it serialises")
        else {
            panic!("a tagged enum is an object")
        };
        let Some(Value::String(name)) = object.remove(kind) else { panic!("no tag {kind}") };
        if kind == "reply" && name == "refused" {
            // The fields of the refusal itself are checked with the refusals.
            object.retain(|key, _| key == "refusal");
        }
        page.describes(kind, &name, &object);
        seen.insert(name);
    }
    assert_eq!(variants::<T>(Some(kind)), seen, "an example of each {kind}");
    assert_eq!(page.names(kind), seen, "a description of each {kind}, and no more");
}

fn words<T: DeserializeOwned>(name: &str) {
    assert_eq!(Page::read().keys("values", name), variants::<T>(None), "values `{name}`");
}

#[test]
fn every_event_is_described() {
    check(
        "event",
        &[
            Event::PeerUp { peer: peer() },
            Event::PeerChanged { peer: peer() },
            Event::PeerDown { peer: peer(), reason: DownReason::Exit },
            Event::Message(Box::new(message())),
            Event::Receipt { number: PacketNo(1), peer: peer(), tries: 1, rtt_ms: 0.5 },
            Event::Failed {
                number: PacketNo(1),
                peer: peer(),
                outcome: Outcome::NotConfirmed,
                tries: 17,
                hint: Some(Bounce::PortUnreachable),
            },
            Event::Offer(Box::new(offer())),
            Event::Progress(Box::new(progress())),
            Event::Transferred(Box::new(transferred())),
            Event::Read { number: PacketNo(1), peer: peer(), discarded: false },
            Event::Told { number: PacketNo(1), peer: peer(), told: Told::Confirmed, tries: 1 },
            Event::Picture(Box::new(picture())),
            Event::Queued {
                number: PacketNo(1),
                peer: peer(),
                tries: 3,
                expires_at: UnixMillis(0),
            },
            Event::Delivered { number: PacketNo(1), peer: peer(), tries: 1, waited_ms: 90_000 },
            Event::Knock {
                number: PacketNo(1),
                peer: peer(),
                direction: Direction::Out,
                outcome: Some(Outcome::Confirmed),
            },
            Event::Typing { peer: peer(), typing: true },
            Event::Notice { code: NoticeCode::Links, text: "eth0".into() },
            Event::Lagged { missed: 3 },
        ],
    );
}

#[test]
fn every_request_is_described() {
    check(
        "request",
        &[
            Request::Peers,
            Request::RollCall,
            Request::Broadcast { text: "x".into() },
            Request::Send {
                to: vec![
                    Target::Peer(PeerId(Arc::from("a@b"))),
                    Target::Addr("10.0.0.7:2425".parse().expect("an address")),
                ],
                text: "x".into(),
                check: true,
                timeout_ms: 30_000,
                wishes: Wishes {
                    later: true,
                    expire_ms: Some(3_600_000),
                    choices: vec![choice()],
                    limit: Some(10 << 20),
                    digest: true,
                    sealed: true,
                    locked: false,
                    utc_offset_s: Some(28_800),
                    absent: vec![peer()],
                },
            },
            Request::SendPicture {
                to: vec![Target::Peer(PeerId(Arc::from("a@b")))],
                path: "/shot.png".into(),
                timeout_ms: 30_000,
                wishes: Wishes::default(),
            },
            Request::Seen,
            Request::Outbox,
            Request::Retry { number: PacketNo(1) },
            Request::Knock { to: vec![Target::Peer(PeerId(Arc::from("a@b")))] },
            Request::Typing { to: Target::Peer(PeerId(Arc::from("a@b"))), typing: true },
            Request::SetCharset { peer: PeerId(Arc::from("a@b")), charset: Some(Charset::GBK) },
            Request::SetOffice { charset: feige::wire::Office::Fixed(Charset::EUC_KR) },
            Request::Groups,
            Request::SendToGroup { group: "b4cc80e4".into(), text: "x".into() },
            Request::Cancel { number: PacketNo(1) },
            Request::Rename { nick: "a".into(), group: "b".into() },
            Request::Offers,
            Request::Get(Get {
                picks: vec![Pick::Offer(OfferId(7), Some(2)), Pick::All],
                into: Some("/tmp".into()),
                limit: Some(1),
                folder_max: Some(1),
                digest: true,
            }),
            Request::Refuse { picks: vec![Pick::From(PeerId(Arc::from("a@b")))] },
            Request::Withdraw { offer: OfferId(7) },
            Request::FilesOf(FilesOf { peer: Target::Peer(PeerId(Arc::from("a@b"))) }),
            Request::Open { seq: 418 },
            Request::Away { text: "at lunch".into() },
            Request::Back,
            Request::Book,
            Request::SetAlias { alias: alias() },
            Request::RemoveAlias { name: "boss".into() },
            Request::Block { peer: Box::new(peer()) },
            Request::Unblock { peer: PeerId(Arc::from("a@b")) },
            Request::Status,
            Request::Stop,
        ],
    );
}

#[test]
fn every_reply_is_described() {
    let (id, name, heard) = ("b4cc80e4".into(), Some("开发群".into()), UnixMillis(0));
    let group = GroupView { id, name, heard };
    check(
        "reply",
        &[
            Reply::Peers { peers: vec![peer()] },
            Reply::Seen { seen: vec![SeenPeer { peer: peer(), at: UnixMillis(0) }] },
            Reply::RollCall { wait_ms: 1200 },
            Reply::Sent {
                number: PacketNo(1),
                to: vec![peer()],
                links: vec!["eth0".into()],
                offered: 0,
            },
            Reply::Offers { offers: vec![offer()] },
            Reply::Fetching { transfers: vec![progress()] },
            Reply::Opened {
                seq: 418,
                at: UnixMillis(0),
                message: Box::new(message()),
                tells: true,
            },
            Reply::Book { aliases: vec![alias()], blocks: vec![peer()] },
            Reply::Outbox {
                waiting: vec![Waiting {
                    number: PacketNo(1),
                    peer: peer(),
                    text: "x".into(),
                    written_at: UnixMillis(0),
                    expires_at: Some(UnixMillis(1)),
                    state: WaitingState::Queued,
                    tries: 0,
                }],
            },
            Reply::Knocked { number: PacketNo(1), to: vec![peer()], without: vec![peer()] },
            Reply::Groups { groups: vec![group] },
            Reply::Status(Box::new(status())),
            Reply::Done,
            Reply::Refused(Refusal::EmptyText),
        ],
    );
}

#[test]
fn every_refusal_is_described() {
    check(
        "refusal",
        &[
            Refusal::EmptyText,
            Refusal::TooLong { peer: Box::new(peer()), size: 40_000, limit: 32_767 },
            Refusal::BroadcastTooLong { size: 40_000, limit: 32_767 },
            Refusal::Blocked { peer: Box::new(peer()) },
            Refusal::UnknownPeer { peer: PeerId(Arc::from("a@b")) },
            Refusal::Ourselves { addr: "192.168.1.7:2425".parse().unwrap() },
            Refusal::Nobody,
            Refusal::NoLink,
            Refusal::NotTaken,
            Refusal::Passive,
            Refusal::NoOffer,
            Refusal::TooManyFiles { files: 300, limit: 256 },
            Refusal::Unofferable { name: "report.pdf".into(), why: "it is gone".into() },
            Refusal::NothingWaits,
            Refusal::NoList { peer: Box::new(peer()) },
            Refusal::NotKept { reason: "the disk is full".into() },
            Refusal::BadAlias { name: "@boss".into() },
            Refusal::UnknownAlias { name: "boss".into() },
            Refusal::NotBlocked { peer: PeerId(Arc::from("a@b")) },
            Refusal::BookFull,
            Refusal::NoPicture { reason: "damaged".into() },
            Refusal::TakesNoPictures { peer: Box::new(peer()) },
            Refusal::KeepsNothing,
            Refusal::BadGroup { group: "x".into() },
            Refusal::Busy,
            Refusal::NoMessage { seq: 418 },
            Refusal::StaysClosed { reason: "the disk is full".into() },
        ],
    );
}

#[test]
fn every_word_is_described() {
    words::<DownReason>("reason");
    words::<Direction>("direction");
    words::<Delivery>("delivery");
    words::<Outcome>("outcome");
    words::<ItemKind>("kind");
    words::<ItemState>("item_state");
    words::<TransferOutcome>("transfer_outcome");
    words::<Side>("side");
    words::<PictureFormat>("format");
    words::<Bounce>("hint");
    words::<WaitingState>("waiting_state");
    words::<Sure>("charset_sure");
    words::<NoticeCode>("code");
    words::<Told>("told");
}

#[test]
fn every_line_bears_version_time_and_place() {
    let event = Event::Message(Box::new(message()));
    let line = feige::cli::output::event_line(Some(418), UnixMillis(1_795_138_201_250), &event);
    let line: Map<String, Value> =
        serde_json::from_str(&line.expect("it serialises")).expect("it is an object");
    let page = Page::read();
    let mut keys = page.keys("object", "line");
    keys.extend(page.keys("event", "message"));
    assert_eq!(keys, line.keys().cloned().collect());
    assert_eq!(line["v"], 1);
    assert_eq!(line["seq"], 418);
}

fn peer() -> PeerView {
    PeerView {
        id: PeerId(Arc::from("zhangsan@PC-1#0123456789AB")),
        nick: "张三".into(),
        user: "zhangsan".into(),
        host: "PC-1".into(),
        group: "研发部".into(),
        addr: "10.0.0.7".parse().expect("an address"),
        port: 2425,
        addrs: vec!["10.0.0.7:2425".parse().expect("an address")],
        dialect: "feiq".into(),
        charset: Some(Charset::GBK),
        charset_sure: Some(Sure::Dialect),
        version: Some("6".into()),
        absent: false,
        fingerprint: Some("00".into()),
    }
}

fn choice() -> FileChoice {
    FileChoice {
        name: "report.pdf".into(),
        kind: ItemKind::File,
        size: 1,
        mtime: 1_705_034_736,
        mtime_nanos: Some(250_000_000),
        read_only: false,
        path: "/home/lin/report.pdf".into(),
        device: 1,
        inode: 2,
    }
}

fn alias() -> Alias {
    Alias { name: "boss".into(), target: Target::Peer(PeerId(Arc::from("a@b"))) }
}

fn message() -> MessageEvent {
    MessageEvent {
        peer: Some(peer().into()),
        direction: Direction::In,
        delivery: Delivery::Direct,
        number: PacketNo(1),
        text: "谢谢".into(),
        shown: Some("谢谢".into()),
        charset: Charset::GBK,
        charset_sure: Sure::Dialect,
        sealed: false,
        locked: false,
        closed: false,
        automatic: false,
        cut: false,
        files: 0,
        several: true,
        recipients: vec![Recipient { user: "a".into(), host: "b".into() }],
        recipients_cut: false,
        extras: Extras {
            chat: Some(GroupRef { id: "b4cc80e4".into(), name: Some("开发群".into()) }),
            font: Some(Font {
                face: "微软雅黑".into(),
                height: -16,
                weight: 400,
                italic: false,
                underline: false,
                strikeout: false,
                color: "#004080".into(),
            }),
            encryption: Some("RSA-1024, Blowfish-128".into()),
        },
    }
}

fn offer() -> OfferView {
    OfferView {
        offer: OfferId(7),
        direction: Direction::In,
        made_at: UnixMillis(0),
        ends_at: Some(UnixMillis(1)),
        peer: peer(),
        number: PacketNo(1),
        shared: false,
        items: vec![ItemView {
            item: 1,
            file: 0,
            name: "报告.pdf".into(),
            kind: ItemKind::File,
            size: 3,
            mtime: 0,
            state: ItemState::Waiting,
            bytes: 0,
            path: Some("/tmp/报告.pdf".into()),
        }],
    }
}

fn progress() -> Progress {
    Progress {
        offer: OfferId(7),
        item: 1,
        direction: Direction::In,
        peer: peer(),
        number: PacketNo(1),
        name: "报告.pdf".into(),
        kind: ItemKind::File,
        bytes: 1,
        of: Some(3),
        done: 0,
        rate: 1,
        eta: Some(2),
    }
}

fn picture() -> PictureEvent {
    let digest = "d65d9786".repeat(8);
    let format = PictureFormat::Png;
    PictureEvent {
        peer: peer(),
        picture: "ca37a4e0".into(),
        number: Some(PacketNo(1)),
        facts: PictureFacts { format, width: 640, height: 400, size: 137_560, digest },
    }
}

fn transferred() -> Transferred {
    Transferred {
        offer: OfferId(7),
        item: 1,
        direction: Direction::In,
        peer: peer(),
        number: PacketNo(1),
        name: "报告.pdf".into(),
        kind: ItemKind::File,
        outcome: TransferOutcome::Broken,
        bytes: 1,
        resumed: 0,
        done: 0,
        seconds: 0.5,
        rate: 2,
        sha256: Some("00".into()),
        path: Some("/tmp/报告.pdf".into()),
        skipped: 0,
        unreadable: 0,
        problem: Some(TransferProblem {
            side: Side::Theirs,
            what: "the peer closed the connection".into(),
            hint: "ask again".into(),
        }),
    }
}

fn status() -> Status {
    let net = Ipv4Net {
        addr: [10, 0, 0, 1].into(),
        broadcast: Some([10, 0, 0, 255].into()),
        limited: true,
    };
    Status {
        version: "0.1.0".into(),
        nick: "alice".into(),
        group: "ops".into(),
        user: "alice".into(),
        host: "pc".into(),
        identity: "0123456789AB".into(),
        port: 2425,
        passive: false,
        away: Some("at lunch".into()),
        keeps: true,
        since: UnixMillis(0),
        links: vec![Link {
            id: LinkId(2),
            name: "eth0".into(),
            v4: vec![net],
            v6: vec!["fe80::1".parse().expect("an address")],
            multicast: true,
        }],
        peers: 1,
        store_trouble: None,
        waiting: 0,
        counters: Counters::default(),
        shell: Some(ShellStatus::default()),
    }
}
