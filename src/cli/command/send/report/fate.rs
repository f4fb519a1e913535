//! What became of a message with one recipient, and the words for it.

use crate::cli::output::{self, failed, milliseconds, queued, waited};
use crate::node::{Bounce, Outcome, UnixMillis};

/// What became of a message with one recipient, as far as is known.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Fate {
    /// Not stored, so it did not leave.
    Waiting,
    /// Stored and sent.
    Left,
    /// Confirmed, after so many datagrams and milliseconds.
    Confirmed { tries: u32, rtt_ms: f64 },
    /// Confirmed after it had been queued; milliseconds since it was written.
    Delivered { tries: u32, waited_ms: u64 },
    /// It was queued, and is being sent now.
    Retried { expires_at: UnixMillis },
    /// Kept until the recipient appears.
    Queued { tries: u32, expires_at: UnixMillis },
    /// Ended without a receipt.
    Failed { outcome: Outcome, tries: u32, hint: Option<Bounce> },
    /// The node ended before it told.
    Unknown,
    /// The node ended before it told, and the store keeps the message.
    Kept,
}

/// A recipient opened a sealed message, or threw it away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reading {
    /// When we heard of it.
    pub(super) at: UnixMillis,
    /// It was thrown away unread.
    pub(super) discarded: bool,
}

impl Fate {
    /// Whether nothing more is to come; `check`: a receipt is awaited.
    pub(super) const fn is_settled(self, check: bool) -> bool {
        match self {
            Self::Waiting | Self::Retried { .. } => false,
            Self::Left => !check,
            _ => true,
        }
    }

    /// One word for it; the same in the table and in JSON.
    pub(super) const fn word(self, check: bool) -> &'static str {
        match self {
            Self::Confirmed { .. } | Self::Delivered { .. } => "confirmed",
            Self::Queued { .. } | Self::Retried { .. } | Self::Kept => "queued",
            Self::Left if !check => "sent",
            Self::Waiting | Self::Failed { outcome: Outcome::NotSent, .. } => "not_sent",
            Self::Left | Self::Unknown | Self::Failed { .. } => "not_confirmed",
        }
    }

    /// Datagrams sent, where that is known.
    pub(super) const fn tries(self) -> Option<u32> {
        match self {
            Self::Confirmed { tries, .. }
            | Self::Delivered { tries, .. }
            | Self::Queued { tries, .. }
            | Self::Failed { tries, .. } => Some(tries),
            Self::Waiting | Self::Left | Self::Retried { .. } | Self::Unknown | Self::Kept => None,
        }
    }

    /// The whole of it in words, with what is known of its reading; `port` is the recipient's.
    pub(super) fn sentence(self, check: bool, reading: Option<Reading>, port: u16) -> String {
        let fate = match self {
            Self::Waiting => failed(Outcome::NotSent, 0, None, port),
            Self::Left if !check => "sent, no receipt asked for".to_owned(),
            Self::Left | Self::Unknown => "not confirmed: the node ended".to_owned(),
            Self::Kept => "queued; the node ended".to_owned(),
            Self::Confirmed { tries, rtt_ms } => {
                let again = if tries > 1 { format!(", {tries} tries") } else { String::new() };
                format!("confirmed after {}{again}", milliseconds(rtt_ms))
            }
            Self::Delivered { waited_ms, .. } => format!("confirmed {}", waited(waited_ms)),
            Self::Queued { expires_at, .. } => queued(expires_at),
            Self::Retried { expires_at } => format!("not confirmed, still {}", queued(expires_at)),
            Self::Failed { outcome, tries, hint } => failed(outcome, tries, hint, port),
        };
        match reading {
            Some(reading) => format!("{}, {fate}", reading.words()),
            None => fate,
        }
    }

    /// The columns of the table: result, time, and what else there is to say.
    pub(super) fn columns(
        self,
        check: bool,
        reading: Option<Reading>,
        port: u16,
    ) -> (String, String, String) {
        let result = match reading {
            Some(reading) => reading.words().to_owned(),
            None => self.word(check).replace('_', " "),
        };
        let tries = match self.tries() {
            None | Some(0) => String::new(),
            Some(1) if matches!(self, Self::Confirmed { .. }) => String::new(),
            Some(1) => "1 try".to_owned(),
            Some(tries) => format!("{tries} tries"),
        };
        let (time, more) = match self {
            Self::Confirmed { rtt_ms, .. } => (milliseconds(rtt_ms), None),
            Self::Delivered { waited_ms, .. } => (String::new(), Some(waited(waited_ms))),
            Self::Queued { expires_at, .. } | Self::Retried { expires_at } => {
                (String::new(), queued(expires_at).strip_prefix("queued ").map(str::to_owned))
            }
            Self::Failed { outcome: Outcome::Cancelled, .. } => {
                (String::new(), Some("cancelled".to_owned()))
            }
            Self::Failed { outcome: Outcome::Expired, .. } => {
                (String::new(), Some("expired".to_owned()))
            }
            Self::Failed { hint, .. } => (String::new(), hint.map(|h| output::why(h, port))),
            Self::Left if check => (String::new(), Some("the node ended".to_owned())),
            Self::Unknown | Self::Kept => (String::new(), Some("the node ended".to_owned())),
            Self::Left | Self::Waiting => (String::new(), None),
        };
        let words: Vec<String> =
            [Some(tries), more].into_iter().flatten().filter(|words| !words.is_empty()).collect();
        (result, time, words.join(", "))
    }
}

impl Reading {
    /// Words for it, in place of "confirmed", which it goes beyond.
    const fn words(self) -> &'static str {
        if self.discarded { "thrown away" } else { "read" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fate: Fate, reading: Option<Reading>) -> String {
        let (result, time, more) = fate.columns(true, reading, 2425);
        format!("{result}|{time}|{more}")
    }

    #[test]
    fn each_fate_has_its_row() {
        let failed = |outcome, tries, hint| row(Fate::Failed { outcome, tries, hint }, None);
        let confirmed = |tries, rtt_ms| row(Fate::Confirmed { tries, rtt_ms }, None);
        assert_eq!(confirmed(1, 0.42), "confirmed|0.4 ms|");
        assert_eq!(confirmed(3, 1612.0), "confirmed|1612 ms|3 tries");
        let bounce = Some(Bounce::PortUnreachable);
        assert_eq!(
            failed(Outcome::NotConfirmed, 17, bounce),
            "not confirmed||17 tries, nothing listens on its port 2425"
        );
        assert_eq!(failed(Outcome::NotConfirmed, 1, None), "not confirmed||1 try");
        assert_eq!(failed(Outcome::NotSent, 0, None), "not sent||");
        assert_eq!(failed(Outcome::Expired, 0, None), "not confirmed||expired");
        assert_eq!(row(Fate::Unknown, None), "not confirmed||the node ended");
        assert!(
            row(Fate::Queued { tries: 4, expires_at: UnixMillis(0) }, None)
                .starts_with("queued||4 tries, until 19")
        );
    }

    #[test]
    fn a_reading_stands_in_the_row_with_the_round_trip_time() {
        let reading = |discarded| Some(Reading { at: UnixMillis(0), discarded });
        let fate = Fate::Confirmed { tries: 2, rtt_ms: 612.0 };
        assert_eq!(row(fate, reading(false)), "read|612 ms|2 tries");
        assert_eq!(row(fate, reading(true)), "thrown away|612 ms|2 tries");
        assert_eq!(
            fate.sentence(true, reading(false), 2425),
            "read, confirmed after 612 ms, 2 tries"
        );
    }
}
