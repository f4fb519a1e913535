//! Who may be connected at once: so many from one address, so many in all, and nobody kept out by
//! those who connect and say nothing (threats, caps and rule 29).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Connections served at once from one address, and in all (threats, caps).
pub(super) const PER_ADDRESS: usize = 8;
pub(super) const IN_ALL: usize = 64;

/// The places there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// By the order they came in.
    by_age: BTreeMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    addr: IpAddr,
    /// Told when the place is needed for somebody else; none for one who has said what it wants.
    silent: Option<Arc<Notify>>,
}

/// A place among the connections, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    id: u64,
    leave: Arc<Notify>,
}

impl Places {
    /// A place for one more from this address. When all are taken, the one who has been silent for
    /// longest loses its own.
    pub(super) fn take(&self, addr: IpAddr) -> Option<Place> {
        let mut taken = self.lock();
        if taken.by_age.values().filter(|guest| guest.addr == addr).count() >= PER_ADDRESS {
            return None;
        }
        if taken.by_age.len() >= IN_ALL {
            let silent = taken.by_age.iter().find(|(_, guest)| guest.silent.is_some());
            let oldest = silent.map(|(&id, _)| id)?;
            if let Some(silent) = taken.by_age.remove(&oldest).and_then(|guest| guest.silent) {
                silent.notify_one();
            }
        }
        let id = taken.next;
        taken.next += 1;
        let leave = Arc::new(Notify::new());
        taken.by_age.insert(id, Guest { addr, silent: Some(Arc::clone(&leave)) });
        drop(taken);
        Some(Place { places: self.clone(), id, leave })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Resolves when the place went to somebody else.
    pub(super) async fn lost(&self) {
        self.leave.notified().await;
    }

    /// The guest has said what it wants: the place is its own until it leaves. False if it was lost
    /// before.
    pub(super) fn keep(&self) -> bool {
        match self.places.lock().by_age.get_mut(&self.id) {
            Some(guest) => {
                guest.silent = None;
                true
            }
            None => false,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().by_age.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(last: usize) -> IpAddr {
        IpAddr::from([10, 0, 0, u8::try_from(last).unwrap()])
    }

    fn full(places: &Places) -> Vec<Place> {
        (0..IN_ALL).map(|at| places.take(addr(1 + at / PER_ADDRESS)).unwrap()).collect()
    }

    #[test]
    fn connections_are_counted_for_each_address_and_in_all() {
        let places = Places::default();
        let mut taken = full(&places);
        assert!(places.take(addr(1)).is_none(), "eight of this address");
        for place in &taken {
            assert!(place.keep());
        }
        assert!(places.take(addr(99)).is_none(), "all taken by those who spoke");
        taken.pop();
        assert!(places.take(addr(99)).is_some());
        taken.clear();
        assert!(places.lock().by_age.is_empty());
    }

    #[tokio::test]
    async fn who_says_nothing_makes_room_and_the_longest_silent_first() {
        let places = Places::default();
        let taken = full(&places);
        assert!(taken[0].keep());
        let fresh = places.take(addr(99)).unwrap();
        taken[1].lost().await;
        assert!(!taken[1].keep(), "its place is gone");
        assert!(taken[2].keep() && fresh.keep());
        drop(taken);
        assert_eq!(places.lock().by_age.len(), 1, "one that lost its place frees no other");
    }
}
