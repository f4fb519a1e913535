//! Events that are kept as they are told, and the pictures some of them are about.

use super::Rows;
use crate::node::{Event, PictureRecord, SaveResult, UnixMillis};
use crate::store::{pictures, quota};

impl Rows<'_> {
    pub(super) fn keep_picture(&mut self, picture: &PictureRecord) -> rusqlite::Result<SaveResult> {
        let known = pictures::content(self.db, &picture.facts.digest)?;
        let size = quota::of_picture(picture, known.is_none());
        // A node that just started does not know yet whom an earlier run wrote to.
        let is_stranger = || -> rusqlite::Result<bool> {
            let found = self.peers.find(self.db, &picture.peer.id)?;
            Ok(found.is_none_or(|(_, written)| !written))
        };
        if picture.counts && is_stranger()? {
            if let Some(reason) = self.quota.refuses(picture.at, size) {
                return Ok(SaveResult::Refused(reason));
            }
            self.quota.count(size);
        }
        pictures::keep(self.db, self.staging, self.next_seq, picture, known)?;
        self.keep_told(picture.at, &picture.event())
    }

    pub(super) fn keep_told(
        &mut self,
        at: UnixMillis,
        event: &Event,
    ) -> rusqlite::Result<SaveResult> {
        let json = serde_json::to_string(event)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        self.db
            .prepare_cached("INSERT INTO told (id, event) VALUES (?1, ?2)")?
            .execute((self.next_seq, json))?;
        self.announce(at, "told")
    }
}
