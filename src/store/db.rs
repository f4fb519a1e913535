//! The `SQLite` file: opening it, and committing records to it.
//!
//! One [`Store`] at a time writes (see [`Lock`](super::Lock)), from one thread (see
//! [`Writer`](super::Writer)). What [`Store::commit`] reports as kept is on the disk, synced: a
//! receipt may go out. The tables are in `schema.rs`, records become rows in `rows.rs`.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::{in_words, is_the_records_own};
use super::log::{Log, Moment};
use super::numbers::Numbers;
use super::pictures::Staging;
use super::quota::Quota;
use super::rows::{self, Peers, Rows};
use super::{Boot, Paths, StoreError, clock, connect, folder_of, history, schema};
use crate::node::{
    ClockSet, Direction, NumberStart, PacketNo, Record, SaveId, SaveResult, UnixMillis,
};

/// The open store.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
    staging: Staging,
    peers: Peers,
    numbers: Numbers,
    due: Due,
    /// `last` of this run, for [`Store::close`].
    start: u64,
    notes: Vec<String>,
    quota: Quota,
    log: Log,
}

/// What has to be kept before any record, and is not committed yet.
#[derive(Debug)]
struct Due {
    /// The block of packet numbers the start took.
    numbers: bool,
    /// Which run of the system it is in, if the store knows another one.
    boot: Option<Boot>,
    /// How the clock was set while nothing could be written.
    clock: Vec<ClockSet>,
}

impl Due {
    const NOTHING: Self = Self { numbers: false, boot: None, clock: Vec::new() };

    fn write(&self, db: &Connection, numbers: Numbers) -> rusqlite::Result<()> {
        if self.numbers {
            rows::write_block(db, numbers)?;
        }
        if let Some(boot) = &self.boot {
            clock::begin(db, boot)?;
        }
        self.clock.iter().try_for_each(|set| clock::follow(db, *set))
    }

    /// These records were not kept. The clock is another one all the same, also for those after them.
    fn note(&mut self, lost: &[(SaveId, Record)]) {
        for (_, record) in lost {
            if let Record::ClockSet(set) = record {
                self.clock.push(*set);
            }
        }
    }
}

/// A store, and what it remembers from the runs before.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Our stable identity: 12 upper-case hex digits, a locally administered unicast address that
    /// was made from the system's random numbers at the first start.
    pub mac: String,
    /// Where our packet numbers go on.
    pub numbers: NumberStart,
    /// The number of the newest event; 0 before the first one.
    pub last_seq: u64,
}

impl Store {
    /// Opens the store of a profile and makes it at the first start. `now` lifts the packet numbers;
    /// nothing else depends on it.
    ///
    /// Nothing is synced here, except at the first start, so that the network need not wait for the
    /// disk. The block of packet numbers is committed by the writer thread when it starts, at the
    /// latest in one transaction with the first record: before any message leaves.
    ///
    /// # Errors
    ///
    /// [`StoreError::Newer`], [`StoreError::NotOurs`], [`StoreError::Foreign`] if it is not for this
    /// program or user; [`StoreError::Full`], [`StoreError::ReadOnly`], [`StoreError::File`],
    /// [`StoreError::Database`] if it cannot be read and written: nothing could be kept then.
    pub fn open(paths: &Paths, now: UnixMillis) -> Result<Opened, StoreError> {
        let path = paths.db.clone();
        let failed = || StoreError::database("open", &path);
        let (mut db, notes) = connect::for_writing(&path, now, connect::Opener::Owner)?;
        schema::migrate(&mut db, &path)?;
        let mac = connect::identity(&db, now, &path)?;
        let unix_seconds = u64::try_from(now.0 / 1000).unwrap_or(0);
        let (start, numbers) = rows::read_numbers(&db).map_err(failed())?.start(unix_seconds);
        let quota = Quota::read(&db).map_err(failed())?;
        let last_seq = rows::last_seq(&db).map_err(failed())?.cast_unsigned();
        let log = Log::new(&db, &path).map_err(failed())?;
        let store = Self {
            db,
            staging: Staging::new(folder_of(&path).to_owned(), quota),
            path,
            peers: Peers::default(),
            numbers,
            due: Due { numbers: true, ..Due::NOTHING },
            start,
            notes,
            quota,
            log,
        };
        let numbers = NumberStart { last: PacketNo(start), reserved: PacketNo(numbers.reserved) };
        Ok(Opened { store, mac, numbers, last_seq })
    }

    /// Commits records in ONE transaction and syncs it. The results are in the order of the batch.
    /// A record that fails for a reason of its own does not take the others with it; where nothing
    /// can be written (disk full, read-only) all fail, nothing is half kept, and the next commit
    /// tries again.
    pub fn commit(&mut self, batch: &[(SaveId, Record)]) -> Vec<(SaveId, SaveResult)> {
        if batch.is_empty() {
            return Vec::new();
        }
        if batch.iter().any(|(_, record)| may_fill(record)) {
            self.quota.look(&self.path);
        }
        let before = (self.numbers, self.quota);
        let committed = match self.commit_together(batch) {
            Err(error) if is_the_records_own(&error) => {
                self.after_rollback(before);
                self.commit_one_by_one(batch)
            }
            other => other,
        };
        let results = committed.unwrap_or_else(|error| {
            self.after_rollback(before);
            self.due.note(batch);
            vec![self.failure(&error); batch.len()]
        });
        self.staging.note(self.quota);
        batch.iter().map(|(id, _)| *id).zip(results).collect()
    }

    fn commit_together(&mut self, batch: &[(SaveId, Record)]) -> rusqlite::Result<Vec<SaveResult>> {
        let all = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.due.write(&all, self.numbers)?;
        let kept = (&mut self.quota, &self.staging);
        let mut rows = Rows::new(&all, &mut self.peers, &mut self.numbers, kept)?;
        let results =
            batch.iter().map(|(_, record)| rows.keep(record)).collect::<Result<_, _>>()?;
        drop(rows);
        self.quota.note(&all)?;
        all.commit()?;
        self.due = Due::NOTHING;
        Ok(results)
    }

    fn commit_one_by_one(
        &mut self,
        batch: &[(SaveId, Record)],
    ) -> rusqlite::Result<Vec<SaveResult>> {
        let path = self.path.clone();
        let all = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.due.write(&all, self.numbers)?;
        let kept = (&mut self.quota, &self.staging);
        let mut rows = Rows::new(&all, &mut self.peers, &mut self.numbers, kept)?;
        let mut results = Vec::with_capacity(batch.len());
        for (_, record) in batch {
            let mark = rows.mark();
            all.execute_batch("SAVEPOINT one")?;
            results.push(match rows.keep(record) {
                Ok(result) => result,
                Err(error) if is_the_records_own(&error) && !all.is_autocommit() => {
                    all.execute_batch("ROLLBACK TO one")?;
                    rows.roll_back(mark);
                    failure(&path, &error)
                }
                Err(error) => return Err(error),
            });
            all.execute_batch("RELEASE one")?;
        }
        drop(rows);
        self.quota.note(&all)?;
        all.commit()?;
        self.due = Due::NOTHING;
        Ok(results)
    }

    /// Commits what a start has to keep, if that is still to be done; the log is then warm for the
    /// first message.
    pub(super) fn commit_start(&mut self) {
        // If it fails it is tried again with the first record, whose failure is reported.
        let write = || {
            let all = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate)?;
            self.due.write(&all, self.numbers)?;
            all.commit()
        };
        if self.due.numbers && write().is_ok() {
            self.due = Due::NOTHING;
        }
    }

    /// The store is in this run of the system from now on.
    pub(super) fn note_boot(&mut self, boot: Boot) {
        self.due.boot = Some(boot);
    }

    pub(super) fn db_mut(&mut self) -> &mut Connection {
        &mut self.db
    }

    fn after_rollback(&mut self, (numbers, quota): (Numbers, Quota)) {
        self.peers.forget();
        (self.numbers, self.quota) = (numbers, quota);
    }

    fn failure(&self, error: &rusqlite::Error) -> SaveResult {
        failure(&self.path, error)
    }

    /// What the user should know of how the store works here: that its file system makes it slow,
    /// for instance. Usually nothing.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(super) fn db(&self) -> &Connection {
        &self.db
    }

    /// Where pictures lie until they are kept.
    pub fn staging(&self) -> &Staging {
        &self.staging
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Work that can wait until the receipts are out.
    pub(super) fn tidy(&mut self, moment: Moment) {
        // May fail without harm: what was committed stays in the log, the next time does more.
        let done = self.log.checkpoint(&self.db, moment).unwrap_or(false);
        if done && !matches!(moment, Moment::Busy) {
            self.peers = Peers::default();
            let _ = self.db.release_memory();
        }
    }

    /// Work for a time in which nothing comes, a piece of it; whether more is left.
    pub(super) fn rest(&mut self) -> bool {
        if self.index() {
            return true;
        }
        self.log.make_room(&self.db);
        self.tidy(Moment::Quiet);
        false
    }

    /// Puts some messages into the index of texts, as the writer does when it is idle; whether more
    /// are left. If that fails they are found without it.
    pub fn index(&mut self) -> bool {
        history::index_some(&mut self.db).unwrap_or(false)
    }

    /// An orderly end: gives the packet numbers above `last_number`, the last one used, back and
    /// puts everything into the one file. What was committed is safe also without it.
    pub fn close(mut self, last_number: PacketNo) {
        // A command that was here for one message leaves none behind; many can wait for the next.
        self.index();
        // If this fails numbers are skipped and the log stays for the next start: no loss.
        let _ = self.give_back(last_number);
        let _ = self.quota.write(&self.db);
        self.db.flush_prepared_statement_cache();
        let _ = self.db.close();
    }

    fn give_back(&self, last_number: PacketNo) -> rusqlite::Result<()> {
        let used = self.numbers.give_back(self.start, last_number.0);
        if self.due.numbers {
            return rows::write_block(&self.db, used);
        }
        if rows::read_numbers(&self.db)? == self.numbers {
            return rows::write_numbers(&self.db, used);
        }
        // Somebody else took a block since; giving ours back would give that back, too.
        Ok(())
    }
}

/// Whether a record may be something that a stranger fills the disk with.
fn may_fill(record: &Record) -> bool {
    match record {
        Record::Message(message) => message.direction == Direction::In,
        Record::Picture(picture) => picture.counts,
        _ => false,
    }
}

fn failure(path: &Path, error: &rusqlite::Error) -> SaveResult {
    SaveResult::Failed(format!("cannot write {}: {}", path.display(), in_words(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{
        AUTO_RETURN, Charset, Delivery, MessageRecord, Options, PeerId, PeerView, PictureFacts,
        PictureFormat, PictureRecord, Recipients, StageId, Sure, Verdict,
    };

    fn store(home: &tempfile::TempDir) -> Store {
        Store::open(&Paths::all_in(home.path()), UnixMillis(1_795_000_000_000)).unwrap().store
    }

    /// A message to everybody by us: no repeat of anything.
    fn record(text: &str) -> Record {
        Record::Message(MessageRecord {
            direction: Direction::Out,
            delivery: Delivery::Broadcast,
            at: UnixMillis(0),
            peer: None,
            addr: None,
            epoch: 0,
            number: PacketNo(1),
            options: Options::empty(),
            text: text.to_owned(),
            charset: Verdict { charset: Charset::UTF_8, sure: Sure::Ascii },
            cut: false,
            files: 0,
            raw: text.as_bytes().into(),
            recipients: Recipients::default(),
            open: None,
            extras: None,
        })
    }

    fn commit(store: &mut Store, texts: &[&str]) -> Vec<SaveResult> {
        let batch: Vec<_> = (0..).zip(texts).map(|(id, text)| (SaveId(id), record(text))).collect();
        let results = store.commit(&batch);
        assert!(results.iter().map(|(id, _)| id.0).eq(0..texts.len() as u64));
        results.into_iter().map(|(_, result)| result).collect()
    }

    fn kept(seq: u64) -> SaveResult {
        SaveResult::Kept { seq: Some(seq) }
    }

    fn reason(result: &SaveResult) -> &str {
        match result {
            SaveResult::Failed(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_bad_record_does_not_take_the_others_with_it_nor_a_number() {
        let home = tempfile::tempdir().unwrap();
        let mut store = store(&home);
        store
            .db
            .execute_batch(
                "CREATE TEMP TRIGGER poison AFTER INSERT ON datagram WHEN NEW.bytes = x'21'
                 BEGIN SELECT RAISE(ABORT, 'poisoned'); END",
            )
            .unwrap();
        let results = commit(&mut store, &["a", "!", "b", "!", "c"]);
        assert_eq!([&results[0], &results[2], &results[4]], [&kept(1), &kept(2), &kept(3)]);
        assert!(reason(&results[1]).contains("poisoned"), "{results:?}");
        assert!(reason(&results[3]).contains("poisoned"), "{results:?}");
        assert_eq!(commit(&mut store, &["d"]), [kept(4)]);
        let messages: i64 =
            store.db.query_row("SELECT count(*) FROM message", (), |row| row.get(0)).unwrap();
        assert_eq!(messages, 4, "no half of a bad record stays");
    }

    #[test]
    fn a_full_disk_fails_all_and_the_store_recovers_by_itself() {
        let home = tempfile::tempdir().unwrap();
        let mut store = store(&home);
        assert_eq!(commit(&mut store, &["before"]), [kept(1)]);
        let limit = |store: &Store, pages: u32| {
            let set = store.db.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
            set.unwrap();
        };
        limit(&store, 1);
        let large = "x".repeat(20_000);
        let results = commit(&mut store, &[&large, &large]);
        assert_eq!(results.len(), 2);
        for result in &results {
            assert!(reason(result).contains("the disk is full"), "{result:?}");
            assert!(reason(result).contains("feige.db"), "{result:?}");
        }
        limit(&store, 1_000_000);
        assert_eq!(commit(&mut store, &[&large, "after"]), [kept(2), kept(3)]);
    }

    fn between(direction: Direction, who: &str, number: u64, text: &str) -> Record {
        let Record::Message(message) = record(text) else { unreachable!() };
        let peer = PeerView {
            id: PeerId(who.into()),
            nick: who.to_owned(),
            user: String::new(),
            host: String::new(),
            group: String::new(),
            addr: [10, 0, 0, 2].into(),
            port: 2425,
            addrs: Vec::new(),
            dialect: "ipmsg".to_owned(),
            charset: None,
            charset_sure: None,
            version: None,
            absent: false,
            fingerprint: None,
        };
        let (delivery, number) = (Delivery::Direct, PacketNo(number));
        Record::Message(MessageRecord {
            direction,
            delivery,
            number,
            peer: Some(peer.into()),
            ..message
        })
    }

    fn take(store: &mut Store, record: Record) -> SaveResult {
        store.commit(&[(SaveId(1), record)]).remove(0).1
    }

    #[test]
    fn a_repeat_is_one_whatever_its_sender_counts_from() {
        let home = tempfile::tempdir().unwrap();
        let mut store = store(&home);
        let mut seq = 0;
        for number in [0, 1, 999_999_999, 1_000_000_000, u64::MAX >> 1, u64::MAX] {
            for who in ["ann@pc", "bob@pc"] {
                let first = between(Direction::In, who, number, "x");
                seq += 1;
                assert_eq!(take(&mut store, first.clone()), kept(seq), "{who} {number}");
                assert_eq!(take(&mut store, first), SaveResult::Repeat, "{who} {number}");
            }
        }
        store.quota.caps.day_bytes = 1;
        // Nor is it taken for something new where a stranger has no room left.
        let SaveResult::Refused(_) = take(&mut store, between(Direction::In, "ann@pc", 2, "x"))
        else {
            panic!("there was room")
        };
        let first = between(Direction::In, "ann@pc", 1_000_000_000, "x");
        assert_eq!(take(&mut store, first), SaveResult::Repeat);
    }

    #[test]
    fn what_goes_to_a_group_is_no_repeat_of_what_comes_to_us() {
        let home = tempfile::tempdir().unwrap();
        let mut store = store(&home);
        for number in [7, 1_800_000_000] {
            let Record::Message(to_us) = between(Direction::In, "ann@pc", number, "x") else {
                unreachable!()
            };
            let to_group = MessageRecord { delivery: Delivery::Group, ..to_us.clone() };
            for record in [to_us, to_group].map(Record::Message) {
                assert!(matches!(take(&mut store, record.clone()), SaveResult::Kept { .. }));
                assert_eq!(take(&mut store, record), SaveResult::Repeat);
            }
        }
    }

    #[test]
    fn strangers_have_their_share_of_a_day_and_others_have_no_bound() {
        let home = tempfile::tempdir().unwrap();
        let mut store = store(&home);
        let text = "x".repeat(200);
        let from = |who: &str, number| between(Direction::In, who, number, &text);
        assert_eq!(take(&mut store, between(Direction::Out, "ann@pc", 1, "hi")), kept(1));
        assert_eq!(take(&mut store, from("mal@pc", 1)), kept(2));
        assert_eq!(take(&mut store, from("eve@pc", 1)), kept(3));
        store.quota.caps.day_bytes = 1_000;
        for who in ["mal@pc", "zoe@pc"] {
            let SaveResult::Refused(reason) = take(&mut store, from(who, 2)) else { panic!() };
            assert!(reason.contains("a day"), "{reason}");
        }
        assert_eq!(rows_of(&store, "zoe@pc"), 0, "not even of its name");
        assert_eq!(take(&mut store, from("mal@pc", 1)), SaveResult::Repeat, "confirmed again");
        assert_eq!(take(&mut store, from("ann@pc", 1)), kept(4), "we wrote to her");
        assert_eq!(take(&mut store, between(Direction::Out, "eve@pc", 2, "hi")), kept(5));
        assert_eq!(take(&mut store, from("eve@pc", 2)), kept(6), "now we wrote to her too");

        // It is still so after a restart, and no more on another day.
        store.close(PacketNo(0));
        let mut store = self::store(&home);
        store.quota.caps.day_bytes = 1_000;
        assert!(matches!(take(&mut store, from("mal@pc", 2)), SaveResult::Refused(_)));
        let Record::Message(message) = from("mal@pc", 2) else { unreachable!() };
        let tomorrow = MessageRecord { at: UnixMillis(86_400_000), ..message };
        assert_eq!(take(&mut store, Record::Message(tomorrow)), kept(7));
    }

    fn rows_of(store: &Store, who: &str) -> i64 {
        let count = "SELECT count(*) FROM peer WHERE name = ?1";
        store.db.query_row(count, (who,), |row| row.get(0)).unwrap()
    }

    #[test]
    fn small_messages_of_new_names_count_what_they_take() {
        let home = tempfile::tempdir().unwrap();
        let mut store = store(&home);
        let size = |store: &Store| {
            let pragma = |name| store.db.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
            u64::from(pragma("page_count").unwrap() * pragma("page_size").unwrap())
        };
        let before = size(&store);
        let batch: Vec<_> = (0..5_000)
            .map(|id| (SaveId(id), between(Direction::In, &format!("name{id}@host"), 7, "x")))
            .collect();
        store.commit(&batch);
        let (counted, taken) = (store.quota.bytes(), size(&store) - before);
        assert!(counted > taken / 2 && counted < taken * 2, "{counted} of {taken}");
    }

    #[test]
    fn who_only_got_an_automatic_reply_is_a_stranger_still() {
        let home = tempfile::tempdir().unwrap();
        let mut store = store(&home);
        store.quota.caps.day_bytes = 1;
        let Record::Message(reply) = between(Direction::Out, "mal@pc", 1, "away") else {
            unreachable!()
        };
        let reply = MessageRecord { options: AUTO_RETURN, ..reply };
        assert_eq!(take(&mut store, Record::Message(reply)), kept(1));
        let refused = take(&mut store, between(Direction::In, "mal@pc", 1, "x"));
        assert!(matches!(refused, SaveResult::Refused(_)), "{refused:?}");
        // Who was met at an address that we wrote to is none.
        let met = Record::WroteTo(PeerId("mal@pc".into()));
        assert_eq!(take(&mut store, met), SaveResult::Kept { seq: None });
        assert_eq!(take(&mut store, between(Direction::In, "mal@pc", 1, "x")), kept(2));
        let met = Record::WroteTo(PeerId("new@pc".into()));
        assert_eq!(take(&mut store, met), SaveResult::Kept { seq: None });
        assert_eq!(take(&mut store, between(Direction::In, "new@pc", 1, "x")), kept(3));
    }

    /// A picture of a stranger, staged; its digest begins with these digits.
    fn picture(store: &Store, stage: u64, digits: &str, size: usize) -> Record {
        let Record::Message(message) = between(Direction::In, "mal@pc", 1, "x") else { panic!() };
        let stage = StageId(stage);
        store.staging().begin(stage, size as u64, UnixMillis(0), true).unwrap();
        store.staging().write(stage, 0, &vec![7; size]).unwrap();
        let (format, digest) = (PictureFormat::Png, format!("{digits:0<64}"));
        Record::Picture(Box::new(PictureRecord {
            at: UnixMillis(0),
            peer: message.peer.as_deref().unwrap().clone(),
            id: 1,
            number: None,
            facts: PictureFacts { format, width: 1, height: 1, size: size as u64, digest },
            stage,
            counts: true,
        }))
    }

    #[test]
    fn messages_and_pictures_of_strangers_share_one_budget() {
        let home = tempfile::tempdir().unwrap();
        let mut store = store(&home);
        let text = "x".repeat(1_000);
        let message = |number| between(Direction::In, "mal@pc", number, &text);
        let begin =
            |store: &Store, size| store.staging().begin(StageId(9), size, UnixMillis(0), true);
        let first = picture(&store, 1, "aa", 4_000);
        assert_eq!(take(&mut store, first), kept(1), "with its event 5,024 bytes");
        store.staging().drop_stage(StageId(1));
        assert_eq!(take(&mut store, message(1)), kept(2));
        store.quota.caps.day_bytes = store.quota.bytes() + 2_976;
        store.staging.note(store.quota);
        // What has no room is not begun.
        assert!(matches!(begin(&store, 2_977), Err(StoreError::StrangersADay { .. })));
        assert!(begin(&store, 2_900).is_ok());
        let second = picture(&store, 3, "bb", 10);
        assert_eq!(take(&mut store, message(2)), kept(3), "2,256 more");
        // What was begun while there was room is not kept where there is none any more.
        let SaveResult::Refused(reason) = take(&mut store, second) else { panic!() };
        assert!(reason.contains("a day"), "{reason}");
        assert!(matches!(take(&mut store, message(3)), SaveResult::Refused(_)));

        // A restart does not forget the pictures, and another day is one for both.
        let day_bytes = store.quota.caps.day_bytes;
        store.close(PacketNo(0));
        let mut store = self::store(&home);
        store.quota.caps.day_bytes = day_bytes;
        assert!(matches!(take(&mut store, message(4)), SaveResult::Refused(_)));
        assert!(matches!(begin(&store, 1_900), Err(StoreError::StrangersADay { .. })));
        let tomorrow = UnixMillis(86_400_000);
        assert!(store.staging().begin(StageId(9), 1_900, tomorrow, true).is_ok());
    }

    #[test]
    fn a_picture_of_whom_an_earlier_run_wrote_to_is_no_strangers() {
        let home = tempfile::tempdir().unwrap();
        let mut store = store(&home);
        let first = picture(&store, 1, "aa", 10);
        let second = picture(&store, 2, "bb", 10);
        store.quota.caps.day_bytes = 1;
        assert!(matches!(take(&mut store, first), SaveResult::Refused(_)));
        assert_eq!(take(&mut store, between(Direction::Out, "mal@pc", 1, "hi")), kept(1));
        assert_eq!(take(&mut store, second), kept(2));
        assert_eq!(store.quota.bytes(), 0, "nor does it take from their share");
    }

    #[test]
    fn the_share_of_strangers_is_a_gibibyte() {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home);
        assert_eq!(store.quota.caps.day_bytes, 1 << 30);
        assert_eq!(store.quota.caps.free_bytes, 256 << 20);
    }

    #[test]
    fn strangers_leave_room_on_the_disk() {
        let home = tempfile::tempdir().unwrap();
        let mut store = store(&home);
        store.quota.caps.free_bytes = u64::MAX;
        let refused = take(&mut store, between(Direction::In, "mal@pc", 1, "x"));
        assert!(
            matches!(&refused, SaveResult::Refused(why) if why.contains("free")),
            "{refused:?}"
        );
        assert_eq!(take(&mut store, between(Direction::Out, "mal@pc", 1, "x")), kept(1));
        assert_eq!(take(&mut store, between(Direction::In, "mal@pc", 1, "x")), kept(2));
        store.quota.caps.free_bytes = 0;
        assert_eq!(take(&mut store, between(Direction::In, "eve@pc", 1, "x")), kept(3));
    }

    #[test]
    fn a_read_only_store_fails_all_and_recovers_by_itself() {
        let home = tempfile::tempdir().unwrap();
        let mut store = store(&home);
        store.db.pragma_update(None, "query_only", true).unwrap();
        let results = commit(&mut store, &["a", "b"]);
        assert!(results.iter().all(|result| reason(result).contains("read-only")), "{results:?}");
        store.db.pragma_update(None, "query_only", false).unwrap();
        assert_eq!(commit(&mut store, &["a", "b"]), [kept(1), kept(2)]);
    }

    #[test]
    fn a_failed_reservation_of_numbers_does_not_count() {
        let home = tempfile::tempdir().unwrap();
        let mut store = store(&home);
        let before = store.numbers;
        let more = Record::Numbers(PacketNo(before.reserved + 100));
        store.db.pragma_update(None, "query_only", true).unwrap();
        reason(&store.commit(&[(SaveId(1), more.clone())])[0].1);
        assert_eq!(store.numbers, before);
        store.db.pragma_update(None, "query_only", false).unwrap();
        assert_eq!(store.commit(&[(SaveId(2), more)])[0].1, SaveResult::Kept { seq: None });
        assert_eq!(rows::read_numbers(&store.db).unwrap().reserved, before.reserved + 100);
    }

    #[test]
    fn two_that_write_the_same_file_share_one_gapless_stream() {
        let home = tempfile::tempdir().unwrap();
        let mut one = store(&home);
        assert_eq!(commit(&mut one, &["a", "b"]), [kept(1), kept(2)]);
        let mut other = store(&home);
        assert_eq!(commit(&mut other, &["c"]), [kept(3)]);
        assert_eq!(commit(&mut one, &["d"]), [kept(4)]);
        assert!(other.start >= one.numbers.reserved, "and no packet number");
        let last = other.numbers.reserved;
        one.close(PacketNo(0));
        assert_eq!(store(&home).start, last, "the other's block is not given back");
    }

    #[test]
    fn what_is_reported_as_kept_is_synced() {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home);
        let pragma = |name| store.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        assert_eq!(pragma("synchronous").unwrap(), 2, "FULL");
        assert_eq!(pragma("foreign_keys").unwrap(), 1);
        assert!(store.notes().is_empty());
    }
}
