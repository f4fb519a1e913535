//! Pictures in the store: staged, kept once, written as files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use feige::node::{
    Event, PacketNo, PictureFacts, PictureFormat, PictureRecord, Record, SaveId, SaveResult,
    StageId, UnixMillis,
};
use feige::store::download::Folder;
use feige::store::{Reader, Store, StoreError};

use super::{Home, NOW, peer};

/// A digest that begins with these digits.
fn digest(digits: &str) -> String {
    format!("{digits:0<64}")
}

fn stage(store: &Store, stage: u64, content: &[u8]) -> StageId {
    let (id, staging) = (StageId(stage), store.staging());
    staging.begin(id, content.len() as u64, NOW, true).unwrap();
    // In two pieces, the second first.
    let (one, two) = content.split_at(content.len() / 2);
    staging.write(id, one.len() as u64, two).unwrap();
    staging.write(id, 0, one).unwrap();
    id
}

fn record(stage: StageId, digest: String, size: usize, at: UnixMillis) -> Record {
    Record::Picture(Box::new(PictureRecord {
        at,
        peer: peer("lin@desk-7"),
        id: 0x64ea_4edd,
        number: Some(PacketNo(7)),
        facts: PictureFacts {
            format: PictureFormat::Jpeg,
            width: 640,
            height: 400,
            size: size as u64,
            digest,
        },
        stage,
        counts: true,
    }))
}

fn save(store: &mut Store, record: Record) -> SaveResult {
    store.commit(&[(SaveId(1), record)]).remove(0).1
}

#[test]
fn a_picture_is_kept_told_again_and_written_as_a_file() {
    let home = Home::new();
    let mut store = home.open().store;
    let content: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let id = stage(&store, 1, &content);
    let kept = save(&mut store, record(id, digest("3fa2c1d0"), content.len(), NOW));
    assert_eq!(kept, SaveResult::Kept { seq: Some(1) });
    store.staging().drop_stage(id);
    let events = home.events();
    let [(1, Event::Picture(event))] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&*event.picture, event.short_id()), ("64ea4edd", "p3fa2c1d0".to_owned()));
    let reader = Reader::open(&home.paths).unwrap();
    let picture = reader.picture("3FA2C1D0").unwrap().unwrap();
    assert_eq!((picture.seq, &picture.event), (1, &**event));
    let folder = home.folder.path().join("got");
    let name = picture.event.facts.file_name();
    for name in ["picture-p3fa2c1d0.jpg", "picture-p3fa2c1d0 (1).jpg"].map(|n| folder.join(n)) {
        let open = Arc::new(Folder::open(&folder).unwrap());
        let path = reader.write_picture(&picture, open, &picture.event.facts.file_name()).unwrap();
        assert_eq!(path, name);
        assert!(fs::read(&path).unwrap() == content);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "no part is left of {name}");
    assert!(reader.picture("3fa2c1d1").unwrap().is_none());
    assert_eq!(reader.picture("64EA4EDD").unwrap().unwrap().seq, 1, "as the message names it");
}

#[test]
fn the_same_content_is_kept_once() {
    let home = Home::new();
    let mut store = home.open().store;
    let content = vec![7; 300_000];
    for (number, at) in [(1, NOW), (2, UnixMillis(NOW.0 + 5))] {
        let id = stage(&store, number, &content);
        let kept = save(&mut store, record(id, digest("aa"), content.len(), at));
        assert_eq!(kept, SaveResult::Kept { seq: Some(number) });
    }
    let reader = Reader::open(&home.paths).unwrap();
    assert_eq!(reader.picture("aa").unwrap().unwrap().seq, 2, "the newest");
    drop(store);
    let size = fs::metadata(&home.paths.db).unwrap().len();
    assert!(size < 600_000, "{size}");
    let mut store = home.open().store;
    let id = stage(&store, 3, b"other");
    save(&mut store, record(id, digest("ab"), 5, NOW));
    let reader = Reader::open(&home.paths).unwrap();
    assert!(matches!(reader.picture("a"), Err(StoreError::ManyPictures { .. })));
    assert_eq!(reader.picture("ab").unwrap().unwrap().event.facts.size, 5);
}

#[test]
fn a_picture_whose_bytes_are_gone_is_not_kept_and_takes_no_number() {
    let home = Home::new();
    let mut store = home.open().store;
    let lost = save(&mut store, record(StageId(9), digest("aa"), 10, NOW));
    assert!(matches!(lost, SaveResult::Failed(_)), "{lost:?}");
    let id = stage(&store, 1, b"short");
    let cut = save(&mut store, record(id, digest("bb"), 10, NOW));
    assert!(matches!(cut, SaveResult::Failed(_)), "{cut:?}");
    let kept = save(&mut store, record(id, digest("cc"), 5, NOW));
    assert_eq!(kept, SaveResult::Kept { seq: Some(1) });
    let reader = Reader::open(&home.paths).unwrap();
    assert!(reader.picture("aa").unwrap().is_none() && reader.picture("bb").unwrap().is_none());
}

#[test]
fn strangers_have_no_more_on_its_way_than_is_kept_of_them_in_a_day() {
    let home = Home::new();
    let store = home.open().store;
    let begin = |number, counts| store.staging().begin(StageId(number), 16 << 20, NOW, counts);
    for number in 0..64 {
        begin(number, true).unwrap();
    }
    let Err(StoreError::StrangersADay { day_bytes }) = begin(64, true) else { panic!() };
    assert_eq!(day_bytes, 1 << 30);
    begin(65, false).expect("who was written to has no such limit");
    store.staging().drop_stage(StageId(3));
    begin(66, true).expect("there is room again");
}

#[test]
fn stages_leave_no_file_behind() {
    let home = Home::new();
    let store = home.open().store;
    let id = stage(&store, 1, b"content");
    let names = || {
        let names = fs::read_dir(home.folder.path()).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    assert!(names().iter().all(|name| name.starts_with("feige.db")), "{:?}", names());
    assert_eq!(store.staging().read(id, 3, 4).unwrap(), b"tent");
    assert!(store.staging().read(id, 4, 4).is_err(), "beyond its end");
    store.staging().drop_stage(id);
    assert!(store.staging().read(id, 0, 1).is_err());
}
