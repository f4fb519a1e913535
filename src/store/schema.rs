//! The tables, step by step. A step that was ever released is never changed; a change is one more.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// Marks the file as ours: "feig".
const APPLICATION: i32 = 0x6665_6967;

/// The schema this program reads and writes: how many steps there are.
pub(super) const KNOWN: u32 = {
    assert!(STEPS.len() < 1_000);
    #[expect(clippy::cast_possible_truncation, reason = "checked in the line above")]
    let known = STEPS.len() as u32;
    known
};

/// From schema n to schema n + 1, each in a transaction of its own.
const STEPS: &[&str] = &[
    // 1: identity, numbers, messages and what became of them, the event stream.
    "
    CREATE TABLE meta (
        key   TEXT PRIMARY KEY NOT NULL,
        value ANY NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- A peer's identity, for good.
    CREATE TABLE peer (
        id   INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
    ) STRICT;

    -- What a peer looked like when something happened: the peer object of the event stream. Most
    -- peers have one or two of these, so messages only point here.
    CREATE TABLE appearance (
        id      INTEGER PRIMARY KEY,
        peer    INTEGER NOT NULL REFERENCES peer (id),
        view    TEXT NOT NULL UNIQUE,
        nick    TEXT AS (view ->> '$.nick') VIRTUAL,
        user    TEXT AS (view ->> '$.user') VIRTUAL,
        host    TEXT AS (view ->> '$.host') VIRTUAL,
        'group' TEXT AS (view ->> '$.group') VIRTUAL,
        addr    TEXT AS (view ->> '$.addr') VIRTUAL,
        dialect TEXT AS (view ->> '$.dialect') VIRTUAL
    ) STRICT;

    -- The stream that listeners resume. seq rises without gaps; what the event says is in the
    -- table that kind names, under id = seq. The newest row is never deleted.
    CREATE TABLE event (
        seq  INTEGER PRIMARY KEY,
        at   INTEGER NOT NULL,
        kind TEXT NOT NULL
    ) STRICT;

    CREATE TABLE message (
        id         INTEGER PRIMARY KEY,
        direction  TEXT NOT NULL,
        delivery   TEXT NOT NULL,
        at         INTEGER NOT NULL,
        peer       INTEGER REFERENCES peer (id),
        appearance INTEGER REFERENCES appearance (id),
        addr       TEXT,
        epoch      INTEGER NOT NULL,
        number     INTEGER NOT NULL,
        options    INTEGER NOT NULL,
        text       TEXT NOT NULL,
        charset    TEXT NOT NULL,
        sure       TEXT NOT NULL,
        cut        INTEGER NOT NULL,
        files      INTEGER NOT NULL
    ) STRICT;

    -- Decides what is a repeat. The number stands first because most peers take it from the clock:
    -- what comes together then lies together, whoever sent it, and a burst from many peers dirties
    -- few pages.
    CREATE UNIQUE INDEX message_once ON message (number, peer, epoch) WHERE direction = 'in';
    -- For the epochs of peers that number from 1; the others' messages are not in it.
    CREATE INDEX message_epoch ON message (peer, epoch, number)
        WHERE direction = 'in' AND number BETWEEN 0 AND 999999999;
    CREATE INDEX message_sent ON message (number, peer) WHERE direction = 'out';

    -- Messages as they were on the wire, apart from what is searched and listed.
    CREATE TABLE datagram (
        message INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
        bytes   BLOB NOT NULL
    ) STRICT;

    -- What became of a sent message with one recipient.
    CREATE TABLE outcome (
        id         INTEGER PRIMARY KEY,
        message    INTEGER REFERENCES message (id) ON DELETE SET NULL,
        at         INTEGER NOT NULL,
        number     INTEGER NOT NULL,
        appearance INTEGER NOT NULL REFERENCES appearance (id),
        outcome    TEXT NOT NULL,
        tries      INTEGER NOT NULL,
        rtt_ms     REAL,
        hint       TEXT
    ) STRICT;
    CREATE INDEX outcome_message ON outcome (message) WHERE message IS NOT NULL;
    ",
    // Events that are kept as they are told (JSON as on the event stream): offers, ends of
    // transfers.
    "
    CREATE TABLE told (
        id    INTEGER PRIMARY KEY,
        event TEXT NOT NULL
    ) STRICT;
    ",
    // Files of ours on offer, one row for each recipient of a message (JSON of a grant record).
    "
    CREATE TABLE served (
        offer INTEGER PRIMARY KEY,
        grant TEXT NOT NULL
    ) STRICT;
    ",
    // Offers to us that are open, as the node knows them (JSON).
    "
    CREATE TABLE offered (
        id    INTEGER PRIMARY KEY,
        offer TEXT NOT NULL
    ) STRICT;
    ",
    // Own names, blocks, peers ever seen; whom we ever wrote to.
    "
    CREATE TABLE alias (
        name   TEXT PRIMARY KEY NOT NULL,
        target TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE block (
        peer TEXT PRIMARY KEY NOT NULL,
        view TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- By identity, so that nobody is here twice. Apart from peer, whose rows have messages.
    CREATE TABLE seen (
        peer TEXT PRIMARY KEY NOT NULL,
        at   INTEGER NOT NULL,
        view TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    ALTER TABLE peer ADD COLUMN written INTEGER NOT NULL DEFAULT 0;
    UPDATE peer SET written = 1
    WHERE id IN (SELECT peer FROM message WHERE direction = 'out');
    ",
    // Sealed messages: which of those we received were opened, which of ours were read.
    "
    CREATE TABLE opening (
        message INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
        at      INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE reading (
        id         INTEGER PRIMARY KEY,
        message    INTEGER REFERENCES message (id) ON DELETE SET NULL,
        at         INTEGER NOT NULL,
        number     INTEGER NOT NULL,
        appearance INTEGER NOT NULL REFERENCES appearance (id),
        discarded  INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX reading_message ON reading (message) WHERE message IS NOT NULL;
    -- Sealed messages of ours (512 is SECRETOPT): few, and looked through at each start.
    CREATE INDEX message_sealed ON message (id)
        WHERE direction = 'out' AND options & 512 <> 0;
    ",
    // The outbox: messages of ours without an outcome; who else got a message.
    "
    -- JSON; none where the sender's client says nothing.
    ALTER TABLE message ADD COLUMN recipients TEXT;
    ALTER TABLE outcome ADD COLUMN waited_ms INTEGER;
    ALTER TABLE outcome ADD COLUMN expires INTEGER;

    -- expires: none for a message that ends with the run that sent it.
    CREATE TABLE outbox (
        message      INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
        expires      INTEGER,
        utc_offset_s INTEGER,
        -- Whether it was said to be queued.
        queued       INTEGER NOT NULL DEFAULT FALSE
    ) STRICT;
    ",
    // The history: by time, by words, unread ones.
    "
    CREATE INDEX message_at ON message (at, peer);

    -- Pairs of neighbouring characters of the texts (see history/grams.rs), under the message's id.
    -- Filled behind the messages, up to the one that meta calls indexed.
    CREATE VIRTUAL TABLE grams USING fts5 (
        text, content = '', contentless_delete = 1, tokenize = 'ascii'
    );
    CREATE TRIGGER message_unindexed AFTER DELETE ON message BEGIN
        DELETE FROM grams WHERE rowid = old.id;
    END;

    -- Received messages that somebody has seen, above the one up to which (meta: shown) all were.
    CREATE TABLE shown (
        message INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE
    ) STRICT;
    INSERT INTO meta (key, value)
    VALUES ('indexed', 0), ('shown', (SELECT coalesce(max(id), 0) FROM message));
    ",
    // Knocks, what only some messages have, charsets of peers, groups of FeiQ, our private keys.
    "
    CREATE TABLE knock (
        id         INTEGER PRIMARY KEY,
        at         INTEGER NOT NULL,
        number     INTEGER NOT NULL,
        appearance INTEGER NOT NULL REFERENCES appearance (id),
        direction  TEXT NOT NULL,
        outcome    TEXT
    ) STRICT;

    -- Group, font, encryption, as JSON; null for nearly all.
    ALTER TABLE message ADD COLUMN extras TEXT;

    -- What was learnt of a peer's charset, or fixed by the user; as JSON.
    CREATE TABLE charset (
        peer  INTEGER PRIMARY KEY REFERENCES peer (id),
        names TEXT NOT NULL,
        text  TEXT NOT NULL
    ) STRICT;

    CREATE TABLE feiq_group (
        id    TEXT PRIMARY KEY NOT NULL,
        name  TEXT,
        heard INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- Our private keys, PKCS#8. Leaves the file in no export.
    CREATE TABLE key (
        bits INTEGER PRIMARY KEY,
        der  BLOB NOT NULL
    ) STRICT;
    ",
    // Pictures of messages: the event of the same id is in told; the same content is kept once.
    "
    CREATE TABLE picture_content (
        id     INTEGER PRIMARY KEY,
        digest TEXT NOT NULL UNIQUE,
        size   INTEGER NOT NULL,
        bytes  BLOB NOT NULL
    ) STRICT;
    CREATE TABLE picture (
        id      INTEGER PRIMARY KEY,
        content INTEGER NOT NULL REFERENCES picture_content (id),
        at      INTEGER NOT NULL,
        counts  INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX picture_by_content ON picture (content);
    ",
    // Openings whose senders may not know of them: few, and gone when they were told.
    "
    CREATE TABLE untold (
        message INTEGER PRIMARY KEY REFERENCES opening (message) ON DELETE CASCADE
    ) STRICT;
    ",
    // Each received message is in one of two indexes and not in both: a page less to commit where a
    // peer numbers from 1. One to a group is no repeat of one to us.
    "
    DROP INDEX message_once;
    DROP INDEX message_epoch;
    CREATE UNIQUE INDEX message_once ON message (number, peer, epoch, (delivery = 'group'))
        WHERE direction = 'in' AND number NOT BETWEEN 0 AND 999999999;
    CREATE UNIQUE INDEX message_counted ON message (peer, epoch, number, (delivery = 'group'))
        WHERE direction = 'in' AND number BETWEEN 0 AND 999999999;
    ",
    // The history in the order of the stream, whatever the clock did; imported messages among it.
    "
    -- Where a message of the stream stands whose clock was behind that of the one before it: where
    -- that one does. So the place never falls, and the order is that of the ids.
    ALTER TABLE message ADD COLUMN raised INTEGER;
    ALTER TABLE message ADD COLUMN place INTEGER AS (coalesce(raised, at)) VIRTUAL;
    UPDATE message SET raised = before.latest
    FROM (SELECT id, at, max(at) OVER (ORDER BY id) AS latest FROM message WHERE id > 0) AS before
    WHERE message.id = before.id AND before.latest > before.at;

    DROP INDEX message_at;
    CREATE INDEX message_place ON message (place, id, at, peer);
    CREATE INDEX message_raised_at ON message (at) WHERE raised IS NOT NULL;
    ",
    // What the clock was set by, milliseconds, since something was kept with a time of day to end at.
    "
    ALTER TABLE outbox ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE served ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE untold ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;
    ",
];

/// Brings a store to the schema of this program.
pub(super) fn migrate(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    migrate_by(db, path, STEPS)
}

fn migrate_by(db: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let failed = || StoreError::database("open", path);
    loop {
        // Asked inside the transaction: another process may be at the same work.
        let step = db.transaction_with_behavior(TransactionBehavior::Immediate);
        let step = step.map_err(failed())?;
        let found = version(&step, path)?;
        let Some(sql) = usize::try_from(found).ok().and_then(|found| steps.get(found)) else {
            return match usize::try_from(found) {
                Ok(found) if found == steps.len() => Ok(()),
                _ => Err(StoreError::Newer { path: path.to_owned(), found, known: KNOWN }),
            };
        };
        step.execute_batch(sql).map_err(failed())?;
        step.pragma_update(None, "application_id", APPLICATION).map_err(failed())?;
        step.pragma_update(None, "user_version", found + 1).map_err(failed())?;
        step.commit().map_err(failed())?;
    }
}

/// The schema of a store; 0 for an empty file.
pub(super) fn version(db: &Connection, path: &Path) -> Result<u32, StoreError> {
    let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let read = || -> rusqlite::Result<_> {
        let tables: u32 =
            db.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
        Ok((pragma("application_id")?, pragma("user_version")?, tables))
    };
    match read().map_err(StoreError::database("open", path))? {
        (0, 0, 0) => Ok(0),
        (APPLICATION, version, _) if version > 0 => Ok(version.unsigned_abs()),
        _ => Err(StoreError::NotOurs { path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_taken_once_each_and_in_order() {
        let mut db = Connection::open_in_memory().unwrap();
        let path = Path::new("feige.db");
        migrate_by(&mut db, path, &["CREATE TABLE a (x)"]).unwrap();
        let steps = ["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y", "CREATE TABLE b (x)"];
        migrate_by(&mut db, path, &steps).unwrap();
        migrate_by(&mut db, path, &steps).unwrap();
        assert_eq!(version(&db, path).unwrap(), 3);
        db.execute("INSERT INTO a (x, y) VALUES (1, 2)", ()).unwrap();
    }

    #[test]
    fn a_step_that_fails_leaves_nothing_behind() {
        let mut db = Connection::open_in_memory().unwrap();
        let path = Path::new("feige.db");
        let broken = ["CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE a (x)"];
        migrate_by(&mut db, path, &broken).unwrap_err();
        assert_eq!(version(&db, path).unwrap(), 1);
        db.execute("CREATE TABLE b (x)", ()).unwrap();
    }

    #[test]
    fn the_messages_of_an_older_store_keep_the_order_in_which_they_came() {
        const PLACES: usize = 12;
        let mut db = Connection::open_in_memory().unwrap();
        let path = Path::new("feige.db");
        migrate_by(&mut db, path, &STEPS[..PLACES]).unwrap();
        let keep = |db: &Connection, id: i64, at: i64| {
            db.execute(
                "INSERT INTO message (id, direction, delivery, at, epoch, number, options, text,
                     charset, sure, cut, files)
                 VALUES (?1, 'out', 'direct', ?2, 0, ?1, 0, '', 'GBK', 'dialect', 0, 0)",
                (id, at),
            )
            .unwrap();
        };
        for (id, at) in [(-7, 25), (1, 10), (2, 30), (3, 5), (4, 20), (5, 40)] {
            keep(&db, id, at);
        }
        migrate(&mut db, path).unwrap();
        keep(&db, -6, 35);
        let order = "SELECT id FROM message ORDER BY place, id";
        let mut order = db.prepare(order).unwrap();
        let ids: Vec<i64> =
            order.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(ids, [1, -7, 2, 3, 4, -6, 5]);
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let mut db = Connection::open_in_memory().unwrap();
        let path = Path::new("feige.db");
        migrate(&mut db, path).unwrap();
        db.pragma_update(None, "user_version", KNOWN + 6).unwrap();
        let error = migrate(&mut db, path).unwrap_err();
        assert!(matches!(error, StoreError::Newer { .. }));
        assert!(error.to_string().contains("written by a newer feige"), "{error}");
    }

    #[test]
    fn a_database_of_somebody_else_is_refused() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute("CREATE TABLE theirs (x)", ()).unwrap();
        let error = migrate(&mut db, Path::new("feige.db")).unwrap_err();
        assert!(matches!(error, StoreError::NotOurs { .. }), "{error}");
    }
}
