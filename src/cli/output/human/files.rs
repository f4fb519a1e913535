//! Files in words: offers, and how transfers ended.

use std::fmt::Write as _;
use std::time::Duration;

use crate::node::{Direction, ItemKind, ItemView, OfferView, TransferOutcome, Transferred};
use crate::term;

/// Most items of an offer that are named on its line.
const NAMED_MAX: usize = 4;

/// `offers 7: report.pdf (1.2 MiB), pics/ (3.4 MiB)`.
pub fn offered(offer: &OfferView) -> String {
    let mut words = match offer.direction {
        Direction::In => format!("offers {}: ", offer.offer),
        Direction::Out => format!("is offered {}: ", offer.offer),
    };
    let named: Vec<_> = offer.items.iter().take(NAMED_MAX).map(item).collect();
    words.push_str(&named.join(", "));
    if let Some(more) = offer.items.len().checked_sub(NAMED_MAX).filter(|&more| more > 0) {
        let _ = write!(words, " and {more} more");
    }
    if offer.direction == Direction::In {
        let _ = write!(words, "  (feige get {})", offer.offer);
    }
    words
}

fn item(item: &ItemView) -> String {
    let name = item_name(&item.name, item.kind);
    match (item.kind, item.size) {
        (ItemKind::Folder, 0) => name,
        (_, size) => format!("{name} ({})", bytes(size)),
    }
}

/// A name from outside on one line; a folder's ends in `/`.
pub fn item_name(name: &str, kind: ItemKind) -> String {
    let name = term::cut(&term::safe(name), NAME_MAX).into_owned();
    if kind == ItemKind::Folder { name + "/" } else { name }
}

/// Columns of a file's name.
const NAME_MAX: usize = 60;

/// `report.pdf is here, 1.2 MiB in 0.4 s (3.0 MiB/s): /home/lin/report.pdf`.
pub fn transferred(end: &Transferred) -> String {
    let mut words = item_name(&end.name, end.kind);
    let moved = || {
        let time = seconds(end.seconds);
        let files = match end.kind {
            ItemKind::Folder => format!("{} files, ", end.done),
            _ => String::new(),
        };
        format!("{files}{} in {time} ({}/s)", bytes(end.bytes), bytes(end.rate))
    };
    let _ = match (end.outcome, end.direction) {
        (TransferOutcome::Done, Direction::In) => write!(words, " is here, {}", moved()),
        (TransferOutcome::Done, Direction::Out) => write!(words, " was fetched, {}", moved()),
        (TransferOutcome::Broken, _) => write!(words, " broke off after {}", bytes(end.bytes)),
        (TransferOutcome::Refused, Direction::In) => write!(words, " was refused"),
        (TransferOutcome::Refused, Direction::Out) => write!(words, " is not wanted"),
        (TransferOutcome::Withdrawn, _) => write!(words, " was taken back"),
        (TransferOutcome::Cancelled, _) => write!(words, " was stopped"),
    };
    if end.resumed > 0 {
        let _ = write!(words, ", {} were there before", bytes(end.resumed));
    }
    if end.skipped > 0 {
        let _ = write!(words, ", {} entries passed over (links, devices)", end.skipped);
    }
    if end.unreadable > 0 {
        let _ = write!(words, ", {} could not be read", end.unreadable);
    }
    if let Some(path) = &end.path {
        let _ = write!(words, ": {}", term::safe(&path.to_string_lossy()));
    }
    if let Some(sha256) = &end.sha256 {
        let _ = write!(words, "  sha256 {sha256}");
    }
    if let Some(problem) = &end.problem {
        let _ = write!(words, ": {}; {}", term::safe(&problem.what), term::safe(&problem.hint));
    }
    words
}

/// A number of bytes for people: `999 B`, `1.2 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // Tenths of the unit, in whole numbers.
    let (mut tenths, mut unit) = (u128::from(count) * 10 / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if tenths >= 1_000 {
        format!("{} {unit}", tenths / 10)
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

fn seconds(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if time.as_secs() >= 60 => {
            humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
        }
        _ => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits_at_most_before_a_unit() {
        for (count, words) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (100 * 1024, "100 KiB"),
            (1024 * 1024 - 1, "1023 KiB"),
            (1024 * 1024, "1.0 MiB"),
            (4 << 30, "4.0 GiB"),
            (u64::MAX, "16383 PiB"),
        ] {
            assert_eq!(bytes(count), words, "{count}");
        }
    }
}
