//! Changing the store where no node runs.

use super::owner::StartError;
use crate::node::{BookRecord, Charset, CharsetRecord, PeerId, Record, SaveId, SaveResult};
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

fn keep(
    paths: &Paths,
    record: impl FnOnce(&Store) -> Result<Record, StoreError>,
) -> Result<(), StartError> {
    let _lock = Lock::take(paths)?;
    let Opened { mut store, numbers, .. } = Store::open(paths, super::wall_clock())?;
    let record = record(&store)?;
    let results = store.commit(&[(SaveId(0), record)]);
    store.close(numbers.last);
    match results.into_iter().next() {
        Some((_, SaveResult::Failed(reason) | SaveResult::Refused(reason))) => {
            Err(StoreError::NotKept { reason }.into())
        }
        _ => Ok(()),
    }
}
