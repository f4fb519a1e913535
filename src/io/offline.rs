//! Changing the store where no node runs.

use super::Start;
use super::clock::{Clock, boot};
use super::owner::StartError;
use crate::node::{
    BookRecord, Charset, CharsetRecord, Effect, Input, Node, PacketNo, PeerId, Record, Reply,
    Request, RequestId, SaveId, SaveResult, UnixMillis, Waiting, WaitingState,
};
use crate::store::{Lock, Opened, Paths, Store, StoreError};

/// Keeps a change of the address book in the store of a profile that no node runs. It is on disk
/// when this returns; the next node knows it from its start.
///
/// # Errors
///
/// [`StartError::AlreadyRunning`] if a node runs after all, [`StartError::Store`] if nothing can be
/// kept.
pub fn keep_book(paths: &Paths, change: BookRecord) -> Result<(), StartError> {
    keep(paths, |_| Ok(Record::Book(change)))
}

/// Keeps what the next node of a profile replies while its user is away; none: the user is here. As
/// [`keep_book`].
///
/// # Errors
///
/// As [`keep_book`].
pub fn keep_absence(paths: &Paths, away: Option<String>) -> Result<(), StartError> {
    keep(paths, |_| Ok(Record::Away(away)))
}

/// Keeps what the user says of the charset of a peer; none: it is to be learnt. As [`keep_book`].
///
/// # Errors
///
/// As [`keep_book`].
pub fn keep_charset(
    paths: &Paths,
    peer: &PeerId,
    charset: Option<Charset>,
) -> Result<(), StartError> {
    keep(paths, |store| {
        let known = store.memory()?.charsets.into_iter().find(|known| known.peer == *peer);
        let (names, text) = known.map_or_else(Default::default, |known| (known.names, known.text));
        let mut record = CharsetRecord { peer: peer.clone(), names, text };
        record.fix(charset);
        Ok(Record::Charsets(record))
    })
}

/// Takes back messages that wait in the store of a profile that no node runs, and what they offer;
/// nothing is sent. What waited; if one of the numbers is not among it, nothing is taken back.
///
/// # Errors
///
/// As [`keep_book`].
pub fn cancel(start: &Start, numbers: &[PacketNo]) -> Result<Vec<Waiting>, StartError> {
    let _lock = Lock::take(&start.paths)?;
    let now = Clock::new().now();
    let Opened { mut store, numbers: last, .. } = Store::open(&start.paths, now.wall)?;
    if let Some(boot) = boot() {
        store.reckon(boot)?;
    }
    // It decides as ever. Without a link it has nobody to speak to.
    let mut node = Node::new(start.config.clone(), [0; 32]);
    node.remember(now, store.memory()?);
    let mut ask = |request| node.handle(now, Input::Request(RequestId(0), request));
    let waiting = ask(Request::Outbox).into_iter().find_map(|effect| match effect {
        Effect::Reply(_, Reply::Outbox { waiting }) => Some(waiting),
        _ => None,
    });
    let mut waiting = waiting.unwrap_or_default();
    waiting.retain(|one| waits(one, now.wall));
    let mut records = Vec::new();
    if numbers.iter().all(|number| waiting.iter().any(|one| one.number == *number)) {
        for &number in numbers {
            let effects = ask(Request::Cancel { number });
            records.extend(effects.into_iter().filter_map(|effect| match effect {
                Effect::Save(id, record) => Some((id, record)),
                _ => None,
            }));
        }
    }
    let results = store.commit(&records);
    store.close(last.last);
    all_kept(results)?;
    Ok(waiting)
}

/// Whether a stored message still waits for its recipient while no node runs. What was being sent
/// when its node ended is not sent any more, and what has expired neither: the next node says so.
pub fn waits(waiting: &Waiting, now: UnixMillis) -> bool {
    waiting.state == WaitingState::Queued && waiting.expires_at.is_none_or(|end| end > now)
}

fn keep(
    paths: &Paths,
    record: impl FnOnce(&Store) -> Result<Record, StoreError>,
) -> Result<(), StartError> {
    let _lock = Lock::take(paths)?;
    let Opened { mut store, numbers, .. } = Store::open(paths, super::wall_clock())?;
    let record = record(&store)?;
    let results = store.commit(&[(SaveId(0), record)]);
    store.close(numbers.last);
    all_kept(results)
}

fn all_kept(results: Vec<(SaveId, SaveResult)>) -> Result<(), StartError> {
    for (_, result) in results {
        if let SaveResult::Failed(reason) | SaveResult::Refused(reason) = result {
            return Err(StoreError::NotKept { reason }.into());
        }
    }
    Ok(())
}
