//! The messages of the past: searched, listed, marked as read, taken in from elsewhere.
//!
//! Reading goes by [`Reader`], beside the process that owns the store. What a command changes here
//! it writes through a [`Pen`], a second connection (`docs/adr/0004`). Texts are found by an index
//! that is filled when the writer has nothing else to do; what is not in it yet is looked through.

mod grams;
mod index;
mod pen;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

pub use pen::{Arrival, Import, Pen, Reread};

pub(super) use index::index_some;

use super::error::{in_words, is_the_rows_own};
use super::rows::{read_message, read_word};
use super::{Reader, StoreError};
use crate::node::{Bounce, Event, MessageRecord, Outcome, PacketNo, PeerId, UnixMillis};

/// Which messages.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Query {
    /// Words or phrases that must all be in the text, as it was written or as its reader sees it, in
    /// any order. Case, width and the kind of blanks do not matter.
    pub words: Vec<String>,
    /// With whom.
    pub with: With,
    /// Not older than this.
    pub since: Option<UnixMillis>,
    /// Older than this.
    pub until: Option<UnixMillis>,
    /// Only received ones.
    pub received: bool,
    /// Only those that nobody has seen yet.
    pub unread: bool,
    /// At most so many, the newest; none: all.
    pub limit: Option<usize>,
}

/// The other side of a message.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum With {
    /// Whoever it is.
    #[default]
    Anybody,
    /// One of these.
    Peers(Vec<PeerId>),
    /// Everybody: broadcasts, received and sent.
    Everybody,
}

/// A message of the past.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// Its row; above 0 its place in the event stream.
    pub id: i64,
    /// The message. Of a closed one the text is left out.
    pub message: MessageRecord,
    /// It is sealed or locked and nobody opened it yet.
    pub closed: bool,
    /// Nobody has seen it yet.
    pub unread: bool,
    /// What became of a sent one.
    pub fate: Option<Fate>,
    /// When the recipient of a sealed one opened it, or threw it away.
    pub read: Option<ReadAt>,
}

/// What became of a sent message.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fate {
    /// Confirmed or not.
    pub outcome: Outcome,
    /// When that was known.
    pub at: UnixMillis,
    /// Datagrams sent.
    pub tries: u32,
    /// From the first datagram to the receipt, milliseconds.
    pub rtt_ms: Option<f64>,
    /// What the network said last.
    pub hint: Option<Bounce>,
    /// From its writing to its receipt, milliseconds, of one that was queued.
    pub waited_ms: Option<u64>,
}

/// When a sealed message of ours was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadAt {
    /// When we heard of it.
    pub at: UnixMillis,
    /// It was thrown away unread.
    pub discarded: bool,
}

impl Entry {
    /// The message as listeners hear of it; of an envelope that was opened, the open one.
    pub fn event(&self) -> Event {
        if self.closed {
            return self.message.event();
        }
        Event::Message(Box::new(self.message.opened()))
    }

    /// Its place in the event stream; none for a message that was imported.
    pub fn seq(&self) -> Option<u64> {
        u64::try_from(self.id).ok().filter(|seq| *seq > 0)
    }
}

impl Reader {
    /// The ids of the messages that `query` means, oldest first: in the order in which they came and
    /// went, whatever the clock did meanwhile, with imported ones at their own time.
    pub fn find(&self, query: &Query) -> Result<Vec<i64>, StoreError> {
        self.read(|db| {
            // One look at the store: between index and messages nothing may change.
            let moment = db.unchecked_transaction()?;
            find(&moment, query)
        })
    }

    /// A message by its id; none if it is gone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if this one cannot be understood, [`StoreError::Database`] if the
    /// store cannot be read.
    pub fn entry(&self, id: i64) -> Result<Option<Entry>, StoreError> {
        let read = || self.db.prepare_cached(&ENTRY)?.query_row((id,), read_entry).optional();
        read().map_err(|error| {
            if is_the_rows_own(&error) {
                let (path, reason) = (self.path.clone(), in_words(&error));
                return StoreError::Damaged { id, path, reason };
            }
            StoreError::database("read", &self.path)(error)
        })
    }

    /// The datagram of a message as it was on the wire; none for one that was imported without it,
    /// and for a closed one.
    pub fn datagram(&self, id: i64) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT d.bytes FROM datagram AS d JOIN message AS m ON m.id = d.message
                 WHERE d.message = ?1 AND NOT {CLOSED}"
            ))?
            .query_row((id,), |row| row.get(0))
            .optional()
        })
    }

    /// Received messages that nobody has seen yet: how many.
    pub fn unread(&self) -> Result<u64, StoreError> {
        self.read(|db| {
            let sql = format!("SELECT count(*) FROM message AS m WHERE {UNREAD}");
            db.prepare_cached(&sql)?
                .query_row((), |row| row.get::<_, i64>(0).map(i64::cast_unsigned))
        })
    }
}

/// A received message that is sealed (512, `SECRETOPT`) or locked (32768, `PASSWORDOPT`) and hides
/// its text, because nobody opened it.
const CLOSED: &str = "(m.direction = 'in' AND m.options & 33280 <> 0
    AND m.id NOT IN (SELECT message FROM opening))";

/// A received message that nobody has seen, nor opened.
const UNREAD: &str = "(m.id > (SELECT value FROM meta WHERE key = 'shown')
    AND m.direction = 'in' AND m.id NOT IN (SELECT message FROM shown)
    AND m.id NOT IN (SELECT message FROM opening))";

static ENTRY: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    format!(
        "SELECT m.id, m.at, m.number, a.view, m.direction, m.delivery, m.addr, m.epoch, m.options,
             m.text, m.charset, m.sure, m.cut, m.files, m.recipients, m.extras, {CLOSED} AS closed, {UNREAD} AS unread,
             o.at AS settled, o.outcome, o.tries, o.rtt_ms, o.hint, o.waited_ms, r.at AS read, r.discarded
         FROM message AS m
         LEFT JOIN appearance AS a ON a.id = m.appearance
         LEFT JOIN outcome AS o ON o.id = (SELECT max(id) FROM outcome WHERE message = m.id)
         LEFT JOIN reading AS r ON r.message = m.id
         WHERE m.id = ?1"
    )
});

fn read_entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let at = UnixMillis(row.get("at")?);
    let number = PacketNo(row.get::<_, i64>("number")?.cast_unsigned());
    let mut message = read_message(row, at, number)?;
    let closed = row.get("closed")?;
    if closed {
        message.text.clear();
    }
    let fate = match row.get::<_, Option<i64>>("settled")? {
        Some(settled) => Some(Fate {
            outcome: read_word(row, "outcome")?,
            at: UnixMillis(settled),
            tries: row.get("tries")?,
            rtt_ms: row.get("rtt_ms")?,
            hint: match row.get_ref("hint")? {
                rusqlite::types::ValueRef::Null => None,
                _ => Some(read_word(row, "hint")?),
            },
            waited_ms: row.get::<_, Option<i64>>("waited_ms")?.map(i64::cast_unsigned),
        }),
        None => None,
    };
    let read = match row.get::<_, Option<i64>>("read")? {
        Some(at) => Some(ReadAt { at: UnixMillis(at), discarded: row.get("discarded")? }),
        None => None,
    };
    Ok(Entry { id: row.get("id")?, message, closed, unread: row.get("unread")?, fate, read })
}

fn find(db: &Connection, query: &Query) -> rusqlite::Result<Vec<i64>> {
    let limit = query.limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    let filter = Filter::new(db, query)?;
    let words: Vec<String> =
        query.words.iter().map(|word| grams::fold(word).trim().to_owned()).collect();
    let words: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    let mut found = if words.is_empty() {
        let sql = format!(
            "SELECT m.place, m.id FROM message AS m WHERE {}
             ORDER BY m.place DESC, m.id DESC LIMIT ?",
            filter.sql
        );
        filter.ask(db, &sql, &[], limit)?
    } else {
        search(db, &filter, &words, limit)?
    };
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found.into_iter().rev().map(|(_, id)| id).collect())
}

/// Messages whose text contains all the folded words, the newest of each kind first: those of the
/// event stream that the index does not hold yet, those that it holds, and imported ones, whose ids
/// are below 0 and rise with their time.
fn search(
    db: &Connection,
    filter: &Filter,
    words: &[&str],
    limit: i64,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let readable = format!("{} AND NOT {CLOSED}", filter.sql);
    let mut found = Vec::new();
    let sql = format!(
        "SELECT m.place, m.id, m.text FROM message AS m
         WHERE m.id > (SELECT value FROM meta WHERE key = 'indexed') AND {readable}
         ORDER BY m.id DESC"
    );
    let mut tail = db.prepare_cached(&sql)?;
    let mut rows = tail.query(params_from_iter(&filter.params))?;
    while let Some(row) = rows.next()? {
        let text = index::searched(db, row.get(1)?, row.get_ref(2)?.as_str()?)?;
        if words.iter().all(|word| text.contains(word)) {
            found.push((row.get(0)?, row.get(1)?));
        }
    }
    let question = Value::Text(grams::question(words.iter().copied()));
    for side in ["> 0", "< 0"] {
        let sql = format!(
            "SELECT m.place, m.id FROM grams AS g CROSS JOIN message AS m ON m.id = g.rowid
             WHERE g.text MATCH ? AND g.rowid {side} AND {readable}
             ORDER BY g.rowid DESC LIMIT ?"
        );
        found.extend(filter.ask(db, &sql, std::slice::from_ref(&question), limit)?);
    }
    Ok(found)
}

/// A query's conditions but its words.
struct Filter {
    sql: String,
    params: Vec<Value>,
}

impl Filter {
    fn new(db: &Connection, query: &Query) -> rusqlite::Result<Self> {
        let mut conditions = Vec::new();
        let mut params = Vec::new();
        match &query.with {
            With::Anybody => {}
            With::Everybody => conditions.push("m.delivery = 'broadcast'".to_owned()),
            With::Peers(peers) => {
                let mut row = db.prepare_cached("SELECT id FROM peer WHERE name = ?1")?;
                let mut rows = Vec::new();
                for peer in peers {
                    let id: Option<i64> =
                        row.query_row((&*peer.0,), |row| row.get(0)).optional()?;
                    rows.extend(id.map(|id| id.to_string()));
                }
                conditions.push(format!("m.peer IN ({})", rows.join(", ")));
            }
        }
        for (time, comparison) in [(query.since, "m.at >= ?"), (query.until, "m.at < ?")] {
            if let Some(time) = time {
                conditions.push(comparison.to_owned());
                params.push(Value::Integer(time.0));
            }
        }
        if query.received {
            conditions.push("m.direction = 'in'".to_owned());
        }
        if query.unread {
            conditions.push(UNREAD.to_owned());
        }
        if conditions.is_empty() {
            conditions.push("1".to_owned());
        }
        Ok(Self { sql: conditions.join(" AND "), params })
    }

    /// Places and ids; `before` and `limit` are the first and the last parameters.
    fn ask(
        &self,
        db: &Connection,
        sql: &str,
        before: &[Value],
        limit: i64,
    ) -> rusqlite::Result<Vec<(i64, i64)>> {
        let limit = Value::Integer(limit);
        let params = before.iter().chain(&self.params).chain([&limit]);
        db.prepare_cached(sql)?
            .query_map(params_from_iter(params), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    }
}
