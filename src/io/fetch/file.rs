//! A file: exactly the bytes that were offered, from where an earlier transfer ended if the sender
//! can go on there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::connect::{self, Answer};
use super::pump::Pump;
use super::transfer::Transfer;
use super::trouble::Trouble;
use crate::store::download::{Folder, Origin, Part};

/// Bytes asked for again when a file goes on, to compare them with those on the disk: servers that
/// ignore the offset begin at the first byte (iptux, the official one).
const OVERLAP: u64 = 64 << 10;

/// How long a sender whose bytes look the same here and at the beginning has to send more than the
/// rest.
const SURPLUS_WAIT: Duration = Duration::from_millis(300);

/// Fetches a file.
pub(super) fn fetch(
    transfer: &mut Transfer<'_>,
    pump: &mut Pump,
    into: Arc<Folder>,
) -> Result<PathBuf, Trouble> {
    let (name, size, ask) = (&transfer.fetch.name, transfer.fetch.size, &transfer.fetch.ask);
    let origin = Origin { packet: ask.packet, file: ask.file };
    let mut part = Part::open(into, &transfer.fetch.key, Some(origin))?;
    if !transfer.fetch.resumes || part.len()? > size {
        part.cut(0)?;
    }
    let (needs, room) = (size - part.len()?, part.folder().room()?);
    if needs > room {
        return Err(Trouble::NoRoom { needs, room });
    }
    let received = receive_all(transfer, pump, &mut part);
    if let Err(trouble) = received.and_then(|()| transfer.check()) {
        if transfer.stop.discards() {
            part.discard();
        }
        return Err(trouble);
    }
    transfer.meter.done = 1;
    let mtime = Some(transfer.fetch.mtime);
    Ok(part.finish(name, mtime, transfer.fetch.read_only)?)
}

/// Receives what is missing of a part, and all of it where that is no part of it.
fn receive_all(
    transfer: &mut Transfer<'_>,
    pump: &mut Pump,
    part: &mut Part,
) -> Result<(), Trouble> {
    // What is shorter is compared from its beginning anyway.
    if part.is_anothers() && part.len()? > OVERLAP && !begins_alike(transfer, pump, part)? {
        part.cut(0)?;
    }
    let mut hash = transfer.fetch.digest.then(Sha256::new);
    if !receive(transfer, pump, part, hash.as_mut())? {
        part.cut(0)?;
        hash = transfer.fetch.digest.then(Sha256::new);
        // From the first byte on there is nothing to compare.
        receive(transfer, pump, part, hash.as_mut())?;
    }
    transfer.sha256 = hash.map(|hash| format!("{:x}", hash.finalize()));
    Ok(())
}

/// Whether what another offer left begins as this file does: what was compared of its end may be
/// the same in all versions of a file.
fn begins_alike(
    transfer: &mut Transfer<'_>,
    pump: &mut Pump,
    part: &Part,
) -> Result<bool, Trouble> {
    let (size, folder, place) =
        (transfer.fetch.size, part.folder(), (transfer.place, transfer.stop));
    let gulp = transfer.meter.gulp(&mut pump.buffer);
    let answer = connect::ask(transfer.fetch, place, 0, false, gulp)?;
    let Answer { socket, len, ids } = answer;
    transfer.ids = ids;
    let meter = &mut transfer.meter;
    (meter.resumed, meter.moved) = (part.len()?, 0);
    meter.begin();
    let compared = usize::try_from(OVERLAP).unwrap_or(usize::MAX);
    let came = meter
        .count(len as u64, folder)
        .and_then(|()| pump.fill(&socket, len, compared, meter, folder));
    // None of it is new.
    meter.moved = 0;
    if came? < compared {
        return Err(Trouble::Short { have: part.len()?, size });
    }
    let mut there = vec![0; compared];
    let read = part.read_at(0, &mut there)?;
    Ok(there.get(..read) == pump.buffer.get(..compared))
}

/// Receives what is missing of a part. False: what is on the disk is no part of this file, or the
/// sender did not begin where it was asked to, so all of it must come again.
fn receive(
    transfer: &mut Transfer<'_>,
    pump: &mut Pump,
    part: &mut Part,
    mut hash: Option<&mut Sha256>,
) -> Result<bool, Trouble> {
    let (size, folder) = (transfer.fetch.size, part.folder().clone());
    let folder = &*folder;
    let have = part.len()?;
    let overlap = have.min(OVERLAP);
    let begin = have - overlap;
    let place = (transfer.place, transfer.stop);
    let gulp = transfer.meter.gulp(&mut pump.buffer);
    let answer = connect::ask(transfer.fetch, place, begin, size == 0, gulp)?;
    let Answer { socket, len, ids } = answer;
    transfer.ids = ids;
    let meter = &mut transfer.meter;
    (meter.resumed, meter.moved) = (begin, 0);
    meter.begin();
    meter.count((len as u64).min(size - begin), folder)?;

    let compared = usize::try_from(overlap).unwrap_or(usize::MAX);
    let len = pump.fill(&socket, len, compared, meter, folder)?;
    if len < compared {
        return Err(Trouble::Short { have: begin, size });
    }
    let start = Start::of(part, begin, pump.buffer.get(..compared).unwrap_or_default())?;
    let there = match start {
        Start::Asked | Start::Doubtful => have,
        Start::First => {
            // All of it comes from the first byte on.
            meter.resumed = 0;
            overlap
        }
        Start::Elsewhere => return Ok(false),
    };
    part.cut(there)?;
    part.adopt();
    if let Some(hash) = hash.as_deref_mut() {
        digest(part, there, hash)?;
    }
    // The bytes behind those compared have come already; more than were offered are not looked at.
    let left = size - there;
    let fresh = pump.buffer.get(compared..len).unwrap_or_default();
    let most = usize::try_from(left).unwrap_or(usize::MAX);
    let fresh = fresh.get(..most).unwrap_or(fresh);
    if let Some(hash) = hash.as_deref_mut() {
        hash.update(fresh);
    }
    part.write(fresh)?;
    let left = left - fresh.len() as u64;
    transfer.meter.moved = transfer.meter.moved.min(size - begin);
    let moved = pump.pass(&socket, part.file(), left, &mut transfer.meter, folder, hash)?;
    if moved < left {
        return Err(Trouble::Short { have: size - left + moved, size });
    }
    let surplus = start == Start::Doubtful && connect::has_more(&socket, SURPLUS_WAIT);
    Ok(!surplus)
}

/// Where a sender began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Start {
    /// Where it was asked to.
    Asked,
    /// There, or at the first byte: both look the same.
    Doubtful,
    /// At the first byte.
    First,
    /// In a file that is not the one on the disk.
    Elsewhere,
}

impl Start {
    /// Holds the first bytes that came, at most [`OVERLAP`], against the part.
    fn of(part: &Part, begin: u64, came: &[u8]) -> Result<Self, Trouble> {
        let same = |at: u64| -> Result<bool, Trouble> {
            let mut there = vec![0; came.len()];
            let read = part.read_at(at, &mut there)?;
            Ok(there.get(..read) == Some(came))
        };
        Ok(match (same(begin)?, begin > 0 && same(0)?) {
            (true, false) => Self::Asked,
            (true, true) => Self::Doubtful,
            (false, true) => Self::First,
            (false, false) => Self::Elsewhere,
        })
    }
}

/// Hashes the first bytes of a part.
fn digest(part: &Part, length: u64, hash: &mut Sha256) -> Result<(), Trouble> {
    let mut buffer = vec![0; 64 << 10];
    let mut at = 0;
    while at < length {
        let most = usize::try_from(length - at).unwrap_or(usize::MAX).min(buffer.len());
        let read = part.read_at(at, buffer.get_mut(..most).unwrap_or_default())?;
        if read == 0 {
            break;
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        at += read as u64;
    }
    Ok(())
}
